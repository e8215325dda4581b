"""From the values of refmill.yaml to plain documents, with every fault at once.

The rule to keep: a fault names its place by document and path of keys; line and column are the caller's to add.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from refmill.model.placement import Toleration
from refmill.specs.documents import Documents, OtherDocument, PipelineSpec, StageOverride, Triggers
from refmill.specs.models import API_VERSION, KINDS, Pipeline, StageModel
from refmill.specs.suggestions import nearest
from refmill.texts import Text, text

MAX_DOCUMENTS = 100
_EXPECTED = {
    "cpu": text("cores, like 2, 1.5 or “500m”"),
    "memory": text("an amount of memory, like “512Mi”, “2Gi” or “1.5G”"),
    "duration": text("a time, like “90s”, “30m”, “1h30m” or a number of seconds"),
    "dict_type": text("a mapping of keys to values"),
    "variable": text("names of environment variables: letters, digits and “_”, no digit first"),
    "reserved": text("other names: variables that begin with DVC_ or REFMILL_ are set by the platform"),
    "scalar": text("a text, a number, true or false as the value of each variable"),
    "path": text("a path inside the repository, like “requirements.txt”"),
    "image": text("the name of a container image, like “python:3.12”"),
    "label": text("labels as Kubernetes has them: letters, digits, “-”, “_” and “.”, at most 63, like “gpu: a100”"),
    "globs": text("a glob or a list of globs, like “main” or “release/*”"),
    "string_pattern_mismatch": text("lower-case letters, digits and “-”, at most 63, a letter or digit at both ends"),
    "string_type": text("a text"),
    "int_type": text("a whole number"),
    "bool_type": text("true or false"),
    "tuple_type": text("a list"),
}
_GIVEN = {dict: text("a mapping"), list: text("a list"), type(None): text("nothing")}
_QUANTITIES = {"cpu", "memory", "duration"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at `path` in document number `document`; `key` if the key itself is meant, not its value."""

    kind: str
    document: int
    path: tuple[str | int, ...]
    message: Text
    remedy: Text
    key: bool = False
    warning: bool = False


def parse(values: Sequence[Any]) -> tuple[Documents, list[Fault]]:
    """The documents whose YAML `values` are (None for an empty one), and every fault; a faulty document is left out."""
    faults: list[Fault] = []
    pipelines: list[PipelineSpec] = []
    others: list[OtherDocument] = []
    for number, value in enumerate(values[:MAX_DOCUMENTS]):
        if value is None or value == {}:
            continue
        document = _document(number, value, faults)
        if isinstance(document, Pipeline):
            if pipelines:
                faults.append(_second_pipeline(number))
            pipelines.append(_pipeline(document))
        elif document is not None:
            written = document.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
            others.append(OtherDocument(document.kind, document.metadata.name, written))
    if len(values) > MAX_DOCUMENTS:
        faults.append(
            Fault(
                "too-many-documents",
                MAX_DOCUMENTS,
                (),
                text("There are more than %(limit)s documents", limit=MAX_DOCUMENTS),
                text("Put them into several repositories."),
            )
        )
    return Documents(pipelines[0] if pipelines else PipelineSpec(), tuple(others)), faults


def _document(number: int, value: Any, faults: list[Fault]) -> Any:
    if not isinstance(value, dict):
        faults.append(
            Fault("wrong-type", number, (), text("A document of refmill.yaml is a mapping of keys to values"), _EXAMPLE)
        )
        return None
    kind = value.get("kind")
    model = KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        if "kind" not in value:
            message, remedy = text("The key “kind” is missing"), _EXAMPLE
        else:
            message, remedy = text("There is no kind “%(kind)s”", kind=str(kind)[:60]), nearest(str(kind), KINDS)
        faults.append(Fault("unknown-kind", number, ("kind",), message, remedy))
        return None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults += [_fault(number, model, detail) for detail in error.errors(include_url=False, include_context=True)]
        return None


_EXAMPLE = text(
    "A document begins like this: apiVersion: %(version)s, kind: Pipeline, metadata: {name: …}, spec: {…}.",
    version=API_VERSION,
)


_RESOURCE_WORDS = frozenset({"cpu", "cpus", "cores", "mem", "memory", "ram", "gpu", "gpus"})
_RESOURCES = text("What a stage may use stands below `resources`: resources: {cpu: 2, memory: 4Gi, gpu: 1}.")


def _fault(number: int, model: type[BaseModel], detail: ErrorDetails) -> Fault:
    path = tuple(part for part in detail["loc"] if part != "[key]")
    name = str(path[-1]) if path else ""
    kind = detail["type"]
    if kind == "extra_forbidden":
        return Fault(
            "unknown-key",
            number,
            path,
            text("There is no key “%(key)s” here", key=name),
            _RESOURCES if name.lower() in _RESOURCE_WORDS else nearest(name, _keys(model, path[:-1])),
            key=True,
        )
    if kind == "missing":
        return Fault(
            "missing-key",
            number,
            path[:-1],
            text("The key “%(key)s” is missing", key=name),
            text("Write it: %(example)s.", example=_example(path)),
            key=len(path) > 1,
        )
    given = detail["input"]
    shown: str | Text = _GIVEN.get(type(given)) or str(given)[:80]
    return Fault(
        "bad-quantity" if kind in _QUANTITIES else "bad-value",
        number,
        path,
        text("“%(value)s” is not right for “%(key)s”", value=shown, key=name),
        text("Expected: %(expected)s.", expected=_expected(kind, detail)),
    )


def _expected(kind: str, detail: ErrorDetails) -> Text:
    context = detail.get("ctx", {})
    if kind in ("literal_error", "enum"):
        return text("one of %(values)s", values=str(context.get("expected", "")))
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = context.get("ge", context.get("le"))
        if kind == "greater_than_equal":
            return text("a number not below %(bound)s", bound=str(bound))
        return text("a number not above %(bound)s", bound=str(bound))
    if kind in ("model_type", "model_attributes_type", "mapping_type"):
        return _EXPECTED["dict_type"]
    return _EXPECTED.get(kind) or text("%(detail)s", detail=detail["msg"])


def _example(path: tuple[str | int, ...]) -> str:
    examples = {"apiVersion": f"apiVersion: {API_VERSION}", "metadata": "metadata: {name: …}", "name": "name: …"}
    return examples.get(str(path[-1]), f"{path[-1]}: …")


def _keys(model: Any, path: Iterable[str | int]) -> list[str]:
    """The keys that can stand at `path` below `model`."""
    for step in path:
        if isinstance(model, type) and issubclass(model, BaseModel):
            fields = {field.alias or name: field for name, field in model.model_fields.items()}
            model = fields[str(step)].annotation if str(step) in fields else None
        elif get_origin(model) is dict:
            model = get_args(model)[1]
        else:
            return []
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return []
    return [field.alias or name for name, field in model.model_fields.items()]


def _second_pipeline(number: int) -> Fault:
    return Fault(
        "second-pipeline",
        number,
        ("kind",),
        text("This is the second document of kind Pipeline: a project has one"),
        text("Merge it into the first, or put it into the refmill.yaml of a sub-directory with its own .dvc."),
    )


def _pipeline(document: Pipeline) -> PipelineSpec:
    spec = document.spec
    on = spec.on
    return PipelineSpec(
        name=document.metadata.name,
        on=Triggers(on.branches, on.tags, on.schedule, on.skip),
        defaults=_override(spec),
        stages={key: _override(stage) for key, stage in spec.stages.items()},
        results=spec.results,
        on_error=spec.on_error,
        engine=spec.engine,
        rerun_on_environment_change=spec.rerun_on_environment_change,
        cancel_superseded=spec.cancel_superseded,
        priority=spec.priority,
    )


def _override(model: StageModel) -> StageOverride:
    resources = model.resources
    return StageOverride(
        image=model.image,
        requirements=model.requirements,
        cpu=resources.cpu,
        memory=resources.memory,
        gpu=resources.gpu,
        retries=model.retries,
        timeout=model.timeout,
        env=model.env,
        secrets=model.secrets,
        pause=model.pause,
        node_selector=model.node_selector,
        tolerations=_tolerations(model),
        priority_class=model.priority_class,
        python=model.python,
        fuse=model.fuse,
    )


def _tolerations(model: StageModel) -> tuple[Toleration, ...] | None:
    if model.tolerations is None:
        return None
    return tuple(
        Toleration(item.key, "" if item.operator == "Exists" else item.value, item.effect, item.operator == "Exists")
        for item in model.tolerations
    )
