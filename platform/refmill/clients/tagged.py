"""JSON for values of the model, without loss.

The rule to keep: what YAML knows and JSON does not (dates, sets, bytes, keys that are no strings) travels in tagged
objects such as ``{"$date": "2026-01-31"}``; a dictionary with a key of that look is tagged itself (``$map``), so that
no file can forge a tag. What an alias of YAML stands for is one value in two places, and dvc.lock is written so; where
that is asked for, the first of them is an ``$anchor``, the others are an ``$alias``.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import functools
import json
import operator
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

_SCALARS = frozenset({str, int, float, bool, type(None)})


def dumps(value: object, aliased: Iterable[object] = ()) -> str:
    """`value` (dataclasses of the model, plain containers, scalars) as JSON. Lists and dictionaries that stand in two
    places of one of `aliased`, which are parts of `value`, are one again after `loads`. Raises TypeError for anything
    else."""
    memo = _Memo()
    for part in aliased:
        _find_aliases(part, set(), memo)
    return json.dumps(_plain(value, memo), separators=(",", ":"))  # in ASCII, so that lone surrogates survive


def loads(body: str | bytes) -> Any:
    """What `dumps` wrote, dataclasses as dictionaries. Raises ValueError, TypeError, RecursionError."""
    anchored = '"$anchor"' in body if isinstance(body, str) else b'"$anchor"' in body
    return json.loads(body, object_hook=functools.partial(_bound, {}) if anchored else _untagged)


class _Memo:
    """What has been met of the value that is written, by `id`: all of it lives as long as that. `plain` are dataclasses
    as they have been made plain, for a plan holds each of its stages several times; `shared` are the numbers of lists
    and dictionaries that stand in two places, `written` those that stand there already."""

    __slots__ = ("plain", "shared", "written")

    def __init__(self) -> None:
        self.plain: dict[int, dict[str, Any]] = {}
        self.shared: dict[int, int] = {}
        self.written: set[int] = set()


def _find_aliases(value: Any, seen: set[int], memo: _Memo) -> None:
    if not isinstance(value, list | dict):
        return
    if id(value) in seen:
        memo.shared.setdefault(id(value), len(memo.shared))
        return
    seen.add(id(value))
    for item in value.values() if isinstance(value, dict) else value:
        _find_aliases(item, seen, memo)


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
    if memo.shared and id(value) in memo.shared:
        return _aliased(value, memo)
    if kind is tuple or kind is list:
        return [item if type(item) in _SCALARS else _plain(item, memo) for item in value]
    if kind is dict:
        return _mapping(value, memo)
    if kind not in _SHAPES:
        _SHAPES[kind] = _shape(kind) if is_dataclass(kind) else None
    shape = _SHAPES[kind]
    if shape is None:
        return _rare(value, memo)
    if (known := memo.plain.get(id(value))) is not None:
        return known
    names, values = shape
    found = {
        name: item if type(item) in _SCALARS else _plain(item, memo)
        for name, item in zip(names, values(value), strict=True)
    }
    memo.plain[id(value)] = found
    return found


def _aliased(value: Any, memo: _Memo) -> dict[str, Any]:
    """The first time with all that it holds, then by its number."""
    number = memo.shared[id(value)]
    if number in memo.written:
        return {"$alias": number}
    memo.written.add(number)
    del memo.shared[id(value)]
    found = _plain(value, memo)
    memo.shared[id(value)] = number
    return {"$anchor": [number, found]}


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


def _bound(anchors: dict[Any, Any], value: dict[str, Any]) -> Any:
    """As `_untagged`, where `anchors` by number have been read; JSON is read in the order in which it was written."""
    if len(value) == 1:
        if "$anchor" in value:
            number, found = value["$anchor"]
            return anchors.setdefault(number, found)
        if "$alias" in value:
            if value["$alias"] not in anchors:
                raise ValueError("$alias")
            return anchors[value["$alias"]]
    return _untagged(value)


def _key(value: Any) -> Any:
    """A list cannot be a key or a member: it was a tuple."""
    return tuple(_key(item) for item in value) if isinstance(value, list) else value
