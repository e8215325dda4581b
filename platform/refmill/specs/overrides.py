"""Which settings hold for a stage: the most specific of those written in refmill.yaml wins, key by key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from refmill.model.pipelines import Pipeline, Stage
from refmill.model.stages import StageSettings
from refmill.specs.documents import Documents, StageOverride

_SINGLE = (
    "image", "requirements", "cpu", "memory", "gpu", "retries", "timeout", "pause", "tolerations", "priority_class",
    "python", "fuse",
)  # fmt: skip
"""What is taken over as a whole, not item by item."""


def names(stage: Stage) -> tuple[str, ...]:
    """The keys of `spec.stages` that mean `stage`, from the most general to the most specific."""
    keys = (stage.group, stage.name, f"{stage.file}:{stage.group}", f"{stage.file}:{stage.name}")
    return tuple(dict.fromkeys(keys))


def override(documents: Documents, stage: Stage) -> StageOverride:
    """All that refmill.yaml says of `stage`, merged."""
    spec = documents.pipeline
    merged = spec.defaults
    for key in names(stage):
        if found := spec.stages.get(key):
            merged = _merge(merged, found)
    return merged


def settings_for(documents: Documents, stage: Stage, default: StageSettings | None = None) -> StageSettings:
    """The settings of `stage`: what refmill.yaml says, and `default` for the rest."""
    default = default or StageSettings()
    said = override(documents, stage)
    return StageSettings(
        cpu=default.cpu if said.cpu is None else said.cpu,
        memory=default.memory if said.memory is None else said.memory,
        gpu=default.gpu if said.gpu is None else said.gpu,
        retries=default.retries if said.retries is None else said.retries,
        timeout=default.timeout if said.timeout is None else said.timeout or None,
        env={**default.env, **said.env},
        requirements=default.requirements if said.requirements is None else said.requirements,
        image=default.image if said.image is None else said.image,
        pause=default.pause if said.pause is None else said.pause,
        secrets={**default.secrets, **said.secrets},
        node_selector={**default.node_selector, **said.node_selector},
        tolerations=default.tolerations if said.tolerations is None else said.tolerations,
        priority_class=default.priority_class if said.priority_class is None else said.priority_class,
        python=default.python if said.python is None else said.python,
        fuse=default.fuse if said.fuse is None else said.fuse,
    )


def all_settings(
    documents: Documents, pipeline: Pipeline, default: StageSettings | None = None
) -> Mapping[str, StageSettings]:
    """The settings of every stage of `pipeline` by address."""
    return {address: settings_for(documents, stage, default) for address, stage in pipeline.stages.items()}


def _merge(below: StageOverride, above: StageOverride) -> StageOverride:
    said: dict[str, Any] = {name: value for name in _SINGLE if (value := getattr(above, name)) is not None}
    for name in ("env", "secrets", "node_selector"):
        said[name] = {**getattr(below, name), **getattr(above, name)}
    return replace(below, **said)
