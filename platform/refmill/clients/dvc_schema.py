"""The shape of dvc.yaml, told with the place of every deviation at once.

DVC's own schema (dvc.schema.MULTI_STAGE_SCHEMA) stops at the first fault of a list and cannot name alternatives, so
the same shape is written down here; DVC's is asked afterwards, as a net below this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import voluptuous
from dvc.schema import FOREACH_IN, MULTI_STAGE_SCHEMA, STAGE_DEFINITION, STAGES

from refmill.clients.findings import Findings
from refmill.specs import nearest
from refmill.texts import Text, text

Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value of one of `types`; object = anything."""

    types: tuple[type, ...]
    expected: Text


@dataclass(frozen=True, slots=True)
class Items:
    """A list whose items have the shape `item`."""

    item: Shape
    expected: Text


@dataclass(frozen=True, slots=True)
class Map:
    """A mapping with free keys whose values have the shape `value`."""

    value: Shape
    expected: Text


@dataclass(frozen=True, slots=True)
class Keys:
    """A mapping with known keys."""

    known: Mapping[str, Shape]
    required: tuple[str, ...] = ()
    expected: Text = field(default=text("a mapping of keys to values"))


@dataclass(frozen=True, slots=True)
class Either:
    """One of several shapes, told apart by the type of the value."""

    shapes: tuple[Shape, ...]
    expected: Text


Shape: TypeAlias = Scalar | Items | Map | Keys | Either

TEXT = Scalar((str,), text("a text"))
FLAG = Scalar((bool,), text("true or false"))
ANYTHING = Scalar((object,), text("anything"))
NOTHING = Scalar((type(None),), text("nothing"))
TEXTS = Items(TEXT, text("a list of texts"))
_ANNOTATIONS: dict[str, Shape] = {"desc": TEXT, "type": TEXT, "labels": TEXTS, "meta": ANYTHING}
_OUTPUT: dict[str, Shape] = {
    **_ANNOTATIONS,
    "cache": FLAG,
    "persist": FLAG,
    "checkpoint": FLAG,
    "remote": TEXT,
    "push": FLAG,
}
_PLOT_PROPS: dict[str, Shape] = {
    **_OUTPUT,
    "template": TEXT,
    "x": TEXT,
    "y": TEXT,
    "x_label": TEXT,
    "y_label": TEXT,
    "title": TEXT,
    "header": FLAG,
}
_PATH_OR = text("a path, or a path with settings")


def _outputs(settings: Shape) -> Shape:
    return Items(Either((TEXT, Map(settings, _PATH_OR)), _PATH_OR), text("a list of paths"))


_PLOT = Keys(_PLOT_PROPS)
_VARS = Items(
    Either((TEXT, Map(ANYTHING, _PATH_OR)), text("the path of a file, or a mapping of variables to values")),
    text("a list of files and mappings"),
)
_STAGE_KEYS: dict[str, Shape] = {
    "cmd": Either((TEXT, Items(ANYTHING, text("a list of commands"))), text("a command or a list of commands")),
    "wdir": TEXT,
    "deps": Items(TEXT, text("a list of paths")),
    "params": Items(
        Either((TEXT, Map(ANYTHING, _PATH_OR)), text("a key of params.yaml, or a file with a list of keys")),
        text("a list of keys"),
    ),
    "vars": _VARS,
    "frozen": FLAG,
    "meta": ANYTHING,
    "desc": TEXT,
    "always_changed": FLAG,
    "outs": _outputs(Keys(_OUTPUT)),
    "metrics": _outputs(Keys(_OUTPUT)),
    "plots": _outputs(Either((_PLOT, Items(_PLOT, text("a list of settings"))), text("settings, or a list of them"))),
}
_AXIS = Either(
    (TEXT, TEXTS, Map(Either((TEXT, TEXTS), text("a column or a list of columns")), text("files with columns"))),
    text("a column, a list of columns, or files with columns"),
)
_TOP_PLOT = Keys({"x": _AXIS, "y": _AXIS, "x_label": TEXT, "y_label": TEXT, "title": TEXT, "template": TEXT})
STAGE = Keys(
    {
        **_STAGE_KEYS,
        "matrix": Map(
            Either((TEXT, Items(ANYTHING, text("a list"))), text("a list of values, or a variable that is one")),
            text("a mapping of names to lists of values"),
        ),
    },
    required=("cmd",),
)
FOREACH = Keys(
    {
        "foreach": Either(
            (TEXT, Items(ANYTHING, text("a list")), Map(ANYTHING, text("a mapping"))),
            text("a list, a mapping, or a variable that is one"),
        ),
        "do": Keys(_STAGE_KEYS, required=("cmd",)),
    },
    required=("foreach", "do"),
)
PROJECT = Keys(
    {
        "stages": Map(ANYTHING, text("a mapping of stage names to stages")),
        "vars": _VARS,
        "params": TEXTS,
        "metrics": TEXTS,
        "plots": Items(
            Either(
                (TEXT, Map(Either((_TOP_PLOT, NOTHING), text("settings of the plot")), _PATH_OR)),
                text("a path, or a name with settings"),
            ),
            text("a list of plots"),
        ),
        "artifacts": Map(
            Keys({"path": TEXT, **_ANNOTATIONS}, required=("path",)), text("a mapping of names to artifacts")
        ),
        "datasets": Items(
            Map(ANYTHING, text("a dataset's “name”, “type” and “url”")), text("a list of datasets, each a mapping")
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Deviation:
    """Something at `path` that is not as it should be."""

    kind: str
    path: Path
    message: Text
    remedy: Text
    key: bool = False


def check(value: Any, file: str, findings: Findings) -> dict[str, Any]:
    """What of the dvc.yaml `value` has the right shape; all deviations go to `findings`."""
    deviations = list(_deviations(PROJECT, value, ()))
    stages = value.get("stages") if isinstance(value, dict) else None
    if isinstance(stages, dict):
        for name, stage in stages.items():
            split = isinstance(stage, dict) and ("foreach" in stage or "do" in stage)
            deviations += _deviations(FOREACH if split else STAGE, stage, ("stages", name))
    for deviation in deviations:
        place = findings.place(file, deviation.path, key=deviation.key)
        findings.add(deviation.kind, place, deviation.message, deviation.remedy)
    if not isinstance(value, dict):
        return {}
    if not deviations:
        _net(value, file, findings)
    return _sound(value, {deviation.path for deviation in deviations})


def _sound(value: Mapping[str, Any], faulty: set[Path]) -> dict[str, Any]:
    """`value` without the stages and the top-level keys that hold something faulty."""
    tops = {path[0] for path in faulty if path and not (path[0] == "stages" and len(path) > 1)}
    stages = {str(path[1]) for path in faulty if path[:1] == ("stages",) and len(path) > 1}
    sound = {key: item for key, item in value.items() if str(key) not in tops}
    if isinstance(sound.get("stages"), dict):
        sound["stages"] = {name: stage for name, stage in sound["stages"].items() if str(name) not in stages}
    return sound


def _net(value: Mapping[str, Any], file: str, findings: Findings) -> None:
    parts: list[tuple[Any, Any, Path]] = [(_TOPS, {key: item for key, item in value.items() if key != STAGES}, ())]
    for name, stage in (value.get(STAGES) or {}).items():
        parts.append((_LOOP if "foreach" in stage else _PLAIN, stage, (STAGES, name)))
    for schema, part, path in parts:
        try:
            schema(part)
        except voluptuous.MultipleInvalid as error:
            for item in error.errors:
                findings.add(
                    "bad-value",
                    findings.place(file, (*path, *map(str, item.path))),
                    text("DVC does not take this: %(detail)s", detail=str(item.msg)[:200]),
                    text("The keys of dvc.yaml are described in DVC's manual."),
                )


# dvc.schema.MULTI_STAGE_SCHEMA compiles the shape of a stage anew for every stage, which takes a third of all the time.
_TOPS = voluptuous.Schema({key: shape for key, shape in MULTI_STAGE_SCHEMA.items() if key != STAGES})
_PLAIN = voluptuous.Schema(STAGE_DEFINITION)
_LOOP = voluptuous.Schema(FOREACH_IN)


def _deviations(shape: Shape, value: Any, path: Path) -> Iterator[Deviation]:
    if not _fits(shape, value):
        yield _wrong_type(shape, value, path)
    elif isinstance(shape, Either):
        yield from _deviations(next(item for item in shape.shapes if _fits(item, value)), value, path)
    elif isinstance(shape, Items):
        for number, item in enumerate(value):
            yield from _deviations(shape.item, item, (*path, number))
    elif isinstance(shape, Map):
        for name, item in value.items():
            if isinstance(name, str):
                yield from _deviations(shape.value, item, (*path, name))
            else:
                yield Deviation(
                    "wrong-type",
                    (*path, str(name)),
                    text("The key “%(key)s” is not a text", key=str(name)[:80]),
                    text("Put it into quotes."),
                    key=True,
                )
    elif isinstance(shape, Keys):
        yield from _keys(shape, value, path)


def _keys(shape: Keys, value: Mapping[Any, Any], path: Path) -> Iterator[Deviation]:
    for name, item in value.items():
        known = shape.known.get(name) if isinstance(name, str) else None
        if known is None:
            yield Deviation(
                "unknown-key",
                (*path, str(name)),
                text("There is no key “%(key)s” here", key=str(name)[:80]),
                nearest(str(name)[:80], shape.known),
                key=True,
            )
        else:
            yield from _deviations(known, item, (*path, name))
    for name in shape.required:
        if name not in value:
            yield Deviation(
                "missing-key",
                path,
                text("The key “%(key)s” is missing", key=name),
                text("Write it: %(example)s.", example=f"{name}: …"),
                key=True,
            )


def _fits(shape: Shape, value: Any) -> bool:
    if isinstance(shape, Scalar):
        return isinstance(value, shape.types)
    if isinstance(shape, Items):
        return isinstance(value, list)
    if isinstance(shape, Either):
        return any(_fits(item, value) for item in shape.shapes)
    return isinstance(value, dict)


def _wrong_type(shape: Shape, value: Any, path: Path) -> Deviation:
    names = {
        dict: text("a mapping"),
        list: text("a list"),
        str: text("a text"),
        bool: text("true or false"),
        int: text("a number"),
        float: text("a number"),
        type(None): text("nothing"),
    }
    given = names.get(type(value), text("something else"))
    return Deviation(
        "wrong-type",
        path,
        text("Here stands %(given)s", given=given),
        text("Expected: %(expected)s.", expected=shape.expected),
    )
