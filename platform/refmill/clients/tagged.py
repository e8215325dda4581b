"""JSON for values of the model, without loss.

The rule to keep: what YAML knows and JSON does not (dates, sets, bytes, keys that are no strings) travels in tagged
objects such as ``{"$date": "2026-01-31"}``; a dictionary with a key of that look is tagged itself (``$map``), so that
no file can forge a tag.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import operator
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeAlias

_SCALARS = frozenset({str, int, float, bool, type(None)})


def dumps(value: object) -> str:
    """`value` (dataclasses of the model, plain containers, scalars) as JSON. Raises TypeError for anything else."""
    return json.dumps(_plain(value, {}), separators=(",", ":"))  # in ASCII, so that lone surrogates survive


def loads(body: str | bytes) -> Any:
    """What `dumps` wrote, dataclasses as dictionaries. Raises ValueError, TypeError, RecursionError."""
    return json.loads(body, object_hook=_untagged)


_Memo: TypeAlias = dict[int, dict[str, Any]]
"""Dataclasses by `id` that have been made plain: a plan holds each of its stages several times. All of them live as
long as the value that is written."""


def _shape(kind: Any) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    """The names of a dataclass's fields, and what gives their values."""
    names = tuple(item.name for item in fields(kind))
    if len(names) < 2:  # attrgetter gives a tuple for two and more only
        return names, lambda value: tuple(getattr(value, name) for name in names)
    return names, operator.attrgetter(*names)


_SHAPES: dict[type, tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]] | None] = {}


def _plain(value: Any, memo: _Memo) -> Any:
    """`value` as json.dumps takes it. Scalars are seen to where they stand: a plan has thousands, and a call costs more
    than all else."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is tuple or kind is list:
        return [item if type(item) in _SCALARS else _plain(item, memo) for item in value]
    if kind is dict:
        return _mapping(value, memo)
    if kind not in _SHAPES:
        _SHAPES[kind] = _shape(kind) if is_dataclass(kind) else None
    shape = _SHAPES[kind]
    if shape is None:
        return _rare(value, memo)
    if (known := memo.get(id(value))) is not None:
        return known
    names, values = shape
    found = {
        name: item if type(item) in _SCALARS else _plain(item, memo)
        for name, item in zip(names, values(value), strict=True)
    }
    memo[id(value)] = found
    return found


def _mapping(value: Mapping[Any, Any], memo: _Memo) -> dict[str, Any]:
    found = {}
    for key, item in value.items():
        if not isinstance(key, str) or key[:1] == "$":
            break
        found[str(key)] = item if type(item) in _SCALARS else _plain(item, memo)
    else:
        return found
    return {"$map": [[_plain(key, memo), _plain(item, memo)] for key, item in value.items()]}


def _rare(value: Any, memo: _Memo) -> Any:
    """What is not of an everyday type itself: subclasses of those (a YAML parser's) and what JSON does not know."""
    if isinstance(value, Mapping):
        return _mapping(value, memo)
    if isinstance(value, list | tuple):
        return [_plain(item, memo) for item in value]
    if isinstance(value, AbstractSet):
        return {"$set": [_plain(item, memo) for item in value]}
    for base in (str, int, float):
        if isinstance(value, base):
            return base(value)
    for kind, (tag, write, _) in _TAGGED.items():
        if isinstance(value, kind):
            return {tag: write(value)}
    if isinstance(value, Path):
        return str(value)
    message = f"{type(value).__name__} is no value of the model"
    raise TypeError(message)


_TAGGED: dict[type, tuple[str, Callable[[Any], str], Callable[[str], Any]]] = {
    dt.datetime: ("$datetime", dt.datetime.isoformat, dt.datetime.fromisoformat),  # before its base
    dt.date: ("$date", dt.date.isoformat, dt.date.fromisoformat),
    dt.time: ("$time", dt.time.isoformat, dt.time.fromisoformat),
    bytes: (
        "$bytes",
        lambda value: base64.b64encode(value).decode(),
        lambda body: base64.b64decode(body, validate=True),
    ),
}
_READERS: dict[str, Callable[[Any], Any]] = {tag: read for tag, _, read in _TAGGED.values()} | {
    "$set": lambda items: {_key(item) for item in items},
    "$map": lambda pairs: {_key(key): item for key, item in pairs},
}


def _untagged(value: dict[str, Any]) -> Any:
    if len(value) != 1:
        return value
    ((tag, body),) = value.items()
    read = _READERS.get(tag)
    if read is None:
        return value
    try:
        return read(body)
    except binascii.Error as error:
        raise ValueError(tag) from error


def _key(value: Any) -> Any:
    """A list cannot be a key or a member: it was a tuple."""
    return tuple(_key(item) for item in value) if isinstance(value, list) else value
