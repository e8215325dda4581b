"""The documents of refmill.yaml as plain data, with every default filled in; what the rest of Refmill works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from refmill.model.placement import Toleration

Results: TypeAlias = Literal["experiment", "commit"]
OnError: TypeAlias = Literal["stop", "continue"]
Engine: TypeAlias = Literal["local", "argo"]


@dataclass(frozen=True, slots=True)
class StageOverride:
    """Settings written for one stage, one group, or (at the top) all stages; None is *not said here*.

    `cpu` in cores, `memory` in bytes, `gpu` in slots, `timeout` in seconds. `secrets` maps a variable of the stage's
    environment to the name of the secret that it takes its value from.
    """

    image: str | None = None
    requirements: str | None = None
    cpu: float | None = None
    memory: int | None = None
    gpu: int | None = None
    retries: int | None = None
    timeout: float | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    pause: bool | None = None
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] | None = None
    priority_class: str | None = None
    python: bool | None = None
    fuse: bool | None = None


@dataclass(frozen=True, slots=True)
class Triggers:
    """Which pushes start a run: globs over branch and tag names; `skip` are globs over paths whose change alone starts
    none. A leading `!` takes away again; the last glob that matches decides."""

    branches: tuple[str, ...] = ("**",)
    tags: tuple[str, ...] = ()
    schedule: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """A document of kind Pipeline."""

    name: str = ""
    on: Triggers = field(default_factory=Triggers)
    defaults: StageOverride = field(default_factory=StageOverride)
    stages: Mapping[str, StageOverride] = field(default_factory=dict)
    results: Results = "experiment"
    on_error: OnError = "stop"
    engine: Engine | None = None
    rerun_on_environment_change: bool = False
    cancel_superseded: bool = False
    priority: int = 0


@dataclass(frozen=True, slots=True)
class OtherDocument:
    """A Dataset, Workspace or InferenceService: `spec` as written, checked against its model."""

    kind: str
    name: str
    spec: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Documents:
    """All documents of refmill.yaml; the defaults where there is no such file."""

    pipeline: PipelineSpec = field(default_factory=PipelineSpec)
    others: tuple[OtherDocument, ...] = ()
