"""What a CRD's structural schema says against an object: types, unknown keys and bounds, as the API server checks them
(but for the rules in CEL)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float),
    "boolean": (bool,),
}  # fmt: skip


def faults(value: Any, schema: dict[str, Any], at: str = "") -> Iterator[str]:
    """Everything that is wrong, with its place."""
    if schema.get("x-kubernetes-int-or-string"):
        if not isinstance(value, int | str) or isinstance(value, bool):
            yield f"{at}: neither number nor text"
        return
    kind = schema.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        yield f"{at}: {value!r} is no {kind}"
        return
    if isinstance(value, dict):
        yield from _mapping(value, schema, at)
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{at}: {len(value)} items"
        for number, item in enumerate(value):
            yield from faults(item, schema.get("items", {}), f"{at}[{number}]")
    if isinstance(value, str):
        if len(value) > schema.get("maxLength", len(value)):
            yield f"{at}: too long"
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{at}: {value!r} is not of the pattern"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is none of {schema['enum']}"


def _mapping(value: dict[str, Any], schema: dict[str, Any], at: str) -> Iterator[str]:
    known, rest = schema.get("properties", {}), schema.get("additionalProperties")
    free = schema.get("x-kubernetes-preserve-unknown-fields") or not (known or rest) or at == ".metadata"
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{at}: {name} is missing"
    for name, item in value.items():
        if name in known:
            yield from faults(item, known[name], f"{at}.{name}")
        elif isinstance(rest, dict):
            yield from faults(item, rest, f"{at}.{name}")
        elif not free:
            yield f"{at}: there is no {name}"
