"""What a stage's command runs in, as a digest: image, requirements file with all it includes, env, names of secrets."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence

from refmill import errors, specs
from refmill.model.pipelines import Pipeline
from refmill.model.stages import StageSettings
from refmill.ports.trees import Tree
from refmill.settings import Settings
from refmill.specs import Documents

STANDARD = "requirements.txt"
"""The requirements file of stages for which refmill.yaml names none."""
_DIGITS = 15  # four parts with colons between them fit into a column of 64 characters
_FILES = 50  # requirements files that include each other, as many as the engine reads
_LIMIT = 1 << 20
_INCLUDE = re.compile(r"(?:-r|-c|--requirement|--constraint)[\s=]*(?P<path>[^\s#]+)")


def standard(tree: Tree) -> str:
    """The requirements file of stages for which refmill.yaml names none: `requirements.txt` where there is one."""
    return STANDARD if tree.entry(STANDARD) else ""


def defaults(settings: Settings, tree: Tree, *, network: bool = True) -> StageSettings:
    """What holds for stages of which refmill.yaml says nothing; `network` as in their RunOrder."""
    tracking = {"MLFLOW_TRACKING_URI": settings.mlflow_tracking_uri}
    return StageSettings(
        cpu=settings.stage_cpus,
        memory=int(specs.quantity(settings.stage_memory)),
        timeout=settings.stage_timeout or None,
        env=tracking if network and settings.mlflow_tracking_uri else {},  # out of reach, MLflow tries for minutes
        requirements=standard(tree),
    )


def digests(documents: Documents, pipeline: Pipeline, tree: Tree) -> dict[str, str]:
    """The digest of each stage's environment, by address: four parts (`environments.PARTS`), colons between them."""
    default = StageSettings(requirements=standard(tree))
    contents: dict[str, str] = {}
    found: dict[str, str] = {}
    for address, stage in pipeline.stages.items():
        settings = specs.settings_for(documents, stage, default)
        secrets = specs.override(documents, stage).secrets
        if settings.requirements not in contents:
            contents[settings.requirements] = _digest(list(_contents(tree, settings.requirements)))
        parts = (_digest(settings.image), contents[settings.requirements], _digest(settings.env), _digest(secrets))
        found[address] = ":".join(parts)
    return found


def _contents(tree: Tree, path: str) -> Iterator[str]:
    """Hashes of a requirements file and of those it includes, in the order of reading. The engine refuses the file
    where it is none; here it only has to be another one than before."""
    queue, seen = [path] if path else [], set[str]()
    while queue and len(seen) < _FILES:
        here = queue.pop(0)
        if here in seen:
            continue
        seen.add(here)
        try:
            data = tree.read(here, _LIMIT)
        except (errors.NotFound, errors.LimitExceeded):
            yield ""
            continue
        yield hashlib.sha256(data).hexdigest()
        folder = posixpath.dirname(here)
        lines = (_INCLUDE.match(line.strip()) for line in data.decode("utf-8", "replace").splitlines())
        queue += [posixpath.normpath(posixpath.join(folder, line["path"])) for line in lines if line]


def _digest(value: str | Sequence[str] | Mapping[str, str]) -> str:
    plain = value if isinstance(value, str) else dict(value) if isinstance(value, Mapping) else list(value)
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:_DIGITS]
