"""The shape of refmill.yaml as pydantic models: what editors complete, forms offer and a push is checked against.

The rule to keep: a model only checks and converts; `reading` makes plain data of it, and nobody else sees a model.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from refmill.model.placement import EFFECTS, KEY, VALUE, Effect
from refmill.quantities import duration, quantity

API_VERSION = "refmill/v1"
MAX_MEMORY = 2**60
MAX_TIMEOUT = 366 * 24 * 3600.0
_NAME = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_RESERVED = ("DVC_", "REFMILL_")


def _cpu(value: Any) -> float:
    try:
        amount = quantity(value) if isinstance(value, str | int | float) else None
    except ValueError:
        amount = None
    if amount is None or not 0 < amount <= 4096:
        raise PydanticCustomError("cpu", "cores")
    return float(amount)


def _memory(value: Any) -> int:
    try:
        amount = quantity(value) if isinstance(value, str | int | float) else None
    except ValueError:
        amount = None
    if amount is None or not 1 <= amount <= MAX_MEMORY:
        raise PydanticCustomError("memory", "memory")
    return -int(-amount // 1)


def _timeout(value: Any) -> float:
    try:
        seconds = duration(value) if isinstance(value, str | int | float) else None
    except ValueError:
        seconds = None
    if seconds is None or not 0 < seconds <= MAX_TIMEOUT:
        raise PydanticCustomError("duration", "duration")
    return seconds


def _environment(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise PydanticCustomError("dict_type", "mapping")
    for name, item in value.items():
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            raise PydanticCustomError("variable", "variable")
        if name.startswith(_RESERVED):
            raise PydanticCustomError("reserved", "reserved")
        if not isinstance(item, str | int | float) or "\0" in str(item):
            raise PydanticCustomError("scalar", "scalar")
    return {
        name: ("true" if item else "false") if isinstance(item, bool) else str(item) for name, item in value.items()
    }


def _secrets(value: Any) -> dict[str, str]:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = {item: item for item in value}
    return _environment(value)


def _label_key(value: Any) -> str:
    if not isinstance(value, str) or not KEY.fullmatch(value):
        raise PydanticCustomError("label", "label")
    return value


def _label_value(value: Any) -> str:
    """What YAML reads as a number or a truth value is written as Kubernetes has it."""
    said = ("true" if value else "false") if isinstance(value, bool) else str(value)
    if not isinstance(value, str | int | float) or not VALUE.fullmatch(said):
        raise PydanticCustomError("label", "label")
    return said


def _node_selector(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise PydanticCustomError("dict_type", "mapping")
    return {_label_key(name): _label_value(item) for name, item in value.items()}


def _path(value: Any) -> str:
    if not isinstance(value, str) or not value or value.startswith("/") or ".." in value.split("/") or "\0" in value:
        raise PydanticCustomError("path", "path")
    return value


def _image(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][-A-Za-z0-9._/:@]{0,511}", value):
        raise PydanticCustomError("image", "image")
    return value


def _globs(value: Any) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(item, str) and 0 < len(item) <= 200 for item in values):
        raise PydanticCustomError("globs", "globs")
    return tuple(values)


_AMOUNT: dict[str, Any] = {
    "anyOf": [
        {"type": "number"},
        {"type": "string", "pattern": r"^[0-9.]+([eE][+-]?[0-9]+|[numkMGTPE]|[KMGTPE]i)?$"},
    ]
}
_TIME: dict[str, Any] = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": "^([0-9.]+[dhms])+$"}]}
_VALUES: dict[str, Any] = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
_TEXTS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
_TEXT: dict[str, Any] = {"type": "string"}
Cpu: TypeAlias = Annotated[float, BeforeValidator(_cpu), WithJsonSchema(_AMOUNT)]
Memory: TypeAlias = Annotated[int, BeforeValidator(_memory), WithJsonSchema(_AMOUNT)]
Timeout: TypeAlias = Annotated[float, BeforeValidator(_timeout), WithJsonSchema(_TIME)]
Environment: TypeAlias = Annotated[dict[str, str], BeforeValidator(_environment), WithJsonSchema(_VALUES)]
Secrets: TypeAlias = Annotated[dict[str, str], BeforeValidator(_secrets), WithJsonSchema({"anyOf": [_VALUES, _TEXTS]})]
RepositoryPath: TypeAlias = Annotated[str, BeforeValidator(_path), WithJsonSchema(_TEXT)]
Image: TypeAlias = Annotated[str, BeforeValidator(_image), WithJsonSchema(_TEXT)]
NodeSelector: TypeAlias = Annotated[dict[str, str], BeforeValidator(_node_selector), WithJsonSchema(_VALUES)]
LabelKey: TypeAlias = Annotated[str, BeforeValidator(_label_key), WithJsonSchema(_TEXT)]
LabelValue: TypeAlias = Annotated[
    str, BeforeValidator(_label_value), WithJsonSchema({"type": ["string", "number", "boolean"]})
]
Globs: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_globs), WithJsonSchema({"anyOf": [_TEXT, _TEXTS]})]


class Model(BaseModel):
    """What all have in common: keys in camelCase, unknown ones refused, no guessing of types."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, alias_generator=to_camel, use_attribute_docstrings=True
    )


class Metadata(Model):
    """What identifies a document."""

    name: str = Field(pattern=_NAME)
    """Its name: lower-case letters, digits and “-”, at most 63."""
    labels: Environment = {}
    """Free labels, not looked at."""


class Resources(Model):
    """What a stage may use, in Kubernetes' notation."""

    cpu: Cpu | None = None
    """Cores: 2, 1.5, "500m"."""
    memory: Memory | None = None
    """Memory: "512Mi", "2Gi", "1.5G"."""
    gpu: int | None = Field(default=None, ge=0, le=64)
    """Whole GPUs."""


class TolerationModel(Model):
    """A taint of nodes that a stage does not mind, with Kubernetes' field names."""

    key: LabelKey
    """The taint's key."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """Equal: of this value; Exists: of any value."""
    value: LabelValue = ""
    """The taint's value."""
    effect: Effect = EFFECTS[0]
    """Of which effect; all of them without it."""


class StageModel(Model):
    """Settings of one stage or of a group of stages."""

    image: Image | None = None
    """Container image; engines without containers use `requirements` instead."""
    requirements: RepositoryPath | None = None
    """A requirements file for the stage's Python environment."""
    resources: Resources = Resources()
    """What it may use."""
    retries: int | None = Field(default=None, ge=0, le=20)
    """How often it is started again after a failure."""
    timeout: Timeout | None = None
    """After which time it is ended: "30m", "1h30m", or seconds."""
    env: Environment = {}
    """Variables of its environment."""
    secrets: Secrets = {}
    """Variables that take their value from a secret of the repository: a list of names, or variable: secret."""
    pause: bool | None = None
    """Wait for somebody's consent before it starts: “Go on” on the run's page, or `refmill resume`."""
    node_selector: NodeSelector = {}
    """On a cluster: labels of the nodes that it may run on; the operator says which may be named."""
    tolerations: tuple[TolerationModel, ...] | None = Field(default=None, strict=False)
    """On a cluster: taints of nodes that it does not mind; the operator says which may be named."""
    priority_class: str | None = Field(default=None, pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$")
    """On a cluster: the Kubernetes priority class of its pod; the operator says which may be named."""
    python: bool | None = None
    """On a cluster: whether the image has Python 3.8 or newer; without it, it needs /bin/sh. Default: by its name."""
    fuse: bool | None = None
    """On a cluster: whether it may run in one pod with the stages before and after it. Default: true."""


class On(Model):
    """Which pushes start a run."""

    branches: Globs = ("**",)
    """Globs over branch names; `*` stops at “/”, `**` does not, a leading `!` takes away. Default: all."""
    tags: Globs = ()
    """Globs over tag names. Default: none."""
    schedule: Globs = ()
    """Times in cron's notation."""
    skip: Globs = ()
    """Globs over paths: a push that changes nothing else starts no run."""


class PipelineModel(StageModel):
    """How the stages of dvc.yaml are run. What stands beside `stages` holds for all of them."""

    on: On = On()
    """Which pushes start a run; without it, those to any branch."""
    stages: dict[str, StageModel] = {}
    """Settings by stage name, group (the name before “@”), name@key, or dir/dvc.yaml:name; the most specific wins."""
    results: Literal["experiment", "commit"] = "experiment"
    """Where results go: an experiment ref, or a commit on the branch if its tip has not moved."""
    on_error: Literal["stop", "continue"] = "stop"
    """After a failure: start nothing new, or go on with what does not depend on it."""
    engine: Literal["local", "argo"] | None = None
    """What carries out the runs: this machine, or a cluster. The operator says which may be named, and the default."""
    rerun_on_environment_change: bool = False
    """Run stages again when image, requirements or env changed, though DVC sees no change."""
    cancel_superseded: bool = False
    """A new push to a branch ends the older runs of that branch."""
    priority: int = Field(default=0, ge=-100, le=100)
    """Higher ones start first among one owner's runs."""


class DatasetModel(Model):
    """What a dataset's repository says of itself."""

    description: str = ""
    """What the data are, for people."""
    path: RepositoryPath | None = None
    """The file or directory that is the dataset; default: all that DVC tracks."""


class WorkspaceModel(Model):
    """A place to work in, with an IDE."""

    image: Image | None = None
    """Container image."""
    ide: Literal["jupyter", "vscode", "none"] = "jupyter"
    """What opens in the browser."""
    resources: Resources = Resources()
    """What it may use."""
    requirements: RepositoryPath | None = None
    """A requirements file for its Python environment."""
    datasets: tuple[str, ...] = Field(default=(), strict=False)
    """Datasets that are brought in: owner/name or owner/name@version."""
    idle: Timeout | None = None
    """After which time without use it is stopped."""


class InferenceServiceModel(BaseModel):
    """A served model, with KServe's field names."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    predictor: dict[str, Any]
    """KServe's predictor: model, containers, minReplicas, …"""


class Document(Model):
    """What every document has."""

    api_version: Literal["refmill/v1"]
    """The version of this format."""
    metadata: Metadata
    """What identifies the document."""


class Pipeline(Document):
    """A document of kind Pipeline: how this repository's dvc.yaml is run."""

    kind: Literal["Pipeline"]
    """What the document describes."""
    spec: PipelineModel = PipelineModel()
    """How the stages of dvc.yaml are run."""


class Dataset(Document):
    """A document of kind Dataset: this repository holds data."""

    kind: Literal["Dataset"]
    """What the document describes."""
    spec: DatasetModel = DatasetModel()
    """What the dataset says of itself."""


class Workspace(Document):
    """A document of kind Workspace: a place to work in."""

    kind: Literal["Workspace"]
    """What the document describes."""
    spec: WorkspaceModel = WorkspaceModel()
    """How the workspace is started."""


class InferenceService(Document):
    """A document of kind InferenceService: a model that is served."""

    kind: Literal["InferenceService"]
    """What the document describes."""
    spec: InferenceServiceModel
    """What is served, and how."""


AnyDocument: TypeAlias = Pipeline | Dataset | Workspace | InferenceService
KINDS: dict[str, type[AnyDocument]] = {
    "Pipeline": Pipeline, "Dataset": Dataset, "Workspace": Workspace, "InferenceService": InferenceService,
}  # fmt: skip
