"""Values of the model as JSON and back, each checked against its type."""

from __future__ import annotations

from typing import Any, TypeVar

import pydantic

from refmill import errors
from refmill.clients import tagged
from refmill.texts import text

T = TypeVar("T")

_ADAPTERS: dict[Any, pydantic.TypeAdapter[Any]] = {}  # making one takes milliseconds; the kinds are those of the code

to_json = tagged.dumps


def from_json(kind: type[T], body: str | bytes) -> T:
    """The value of the type `kind` that `to_json` wrote. Raises Damaged if `body` is not one.

    Unknown keys are passed over and missing ones take their defaults, so that neighbouring versions read each other.
    """
    try:
        value: T = _adapter(kind).validate_python(tagged.loads(body))
    except (ValueError, TypeError, RecursionError) as error:
        name = getattr(kind, "__name__", str(kind))
        raise errors.Damaged(text("A stored value is not of the kind %(kind)s.", kind=name)) from error
    return value


def _adapter(kind: Any) -> pydantic.TypeAdapter[Any]:
    found = _ADAPTERS.get(kind)
    if found is None:
        found = _ADAPTERS[kind] = pydantic.TypeAdapter(kind)
    return found
