"""Values of the model out of `codec.to_json`, made by their annotations: without pydantic, which starts slowly."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar

from refmill.errors import Damaged
from refmill.texts import text

T = TypeVar("T")
_Maker: typing.TypeAlias = Callable[[Any], Any]
_SCALARS: tuple[Any, ...] = (str, int, float, bool)


def build(kind: type[T], value: Any) -> T:
    """The dataclass `kind` that `value` (what JSON gave) describes. Raises Damaged if it describes none."""
    try:
        maker: _Maker = _maker(typing.cast(Any, kind))
        made: T = maker(value)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise Damaged(text("A stored value is not of the kind %(kind)s.", kind=kind.__name__)) from error
    return made


@cache
def _maker(kind: Any) -> _Maker:
    """What makes a `kind` of plain data; raises TypeError for data of another shape."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return _same
    if is_dataclass(kind):
        return _of_dataclass(kind)
    if origin in (types.UnionType, typing.Union):
        return _of_union(arguments)
    if origin is typing.Literal or kind in _SCALARS or kind is type(None):
        return _of_scalar(arguments if origin is typing.Literal else (), kind)
    if origin is tuple:
        item = _maker(arguments[0])
        return lambda value: tuple(map(item, _checked(value, list)))
    if origin is not None and issubclass(origin, Mapping):
        item = _maker(arguments[1])
        return lambda value: {key: item(part) for key, part in _checked(value, dict).items()}
    raise TypeError(kind)


def _of_dataclass(kind: Any) -> _Maker:
    """Missing keys take their defaults; unknown ones are passed over."""
    hints = typing.get_type_hints(kind)
    makers: dict[str, _Maker] = {}

    def make(value: Any) -> Any:
        if not makers:  # not before: a type may hold itself
            makers.update((item.name, _maker(hints[item.name])) for item in fields(kind))
        found = _checked(value, dict)
        return kind(**{name: maker(found[name]) for name, maker in makers.items() if name in found})

    return make


def _of_union(kinds: tuple[Any, ...]) -> _Maker:
    makers = [_maker(kind) for kind in kinds]

    def make(value: Any) -> Any:
        for maker in makers:
            try:
                return maker(value)
            except TypeError:
                continue
        raise TypeError(value)

    return make


def _of_scalar(literals: tuple[Any, ...], kind: Any) -> _Maker:
    def make(value: Any) -> Any:
        if (literals and value in literals) or (not literals and type(value) is kind):
            return value
        raise TypeError(value)

    return make


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(value)
    return value


def _same(value: Any) -> Any:
    return value
