"""The plain block YAML that DVC writes into dvc.lock and its run-cache, read and written quickly.

The rule to keep: what `emit` gives is byte for byte what ruamel's round-trip dumper gives, and it refuses (None) every
value for which it does not know that. `parse` believes itself only if `emit` gives the same bytes back, so that a text
it understands wrongly is a text it does not understand. Both are checked against ruamel by generated cases.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_WIDTH = 80
_SAFE = re.compile("[ -~\u00a1-\u1fff\u3000-\ud7ff]+\\Z")
_LEADING = frozenset("#,[]{}&*!|>'\"%@`?:-")
_INSIDE = re.compile(r":(?: |\Z)| #|  | \Z|\A ")
_RESOLVED_STARTS = frozenset("-+0123456789.tTfFnN~<=")
_MEANINGS = (
    ("bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")),
    (
        "float",
        re.compile(
            r"(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
            r"|[-+]?\.[0-9_]+(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
        ),
    ),
    ("int", re.compile(r"[-+]?(?:0b[0-1_]+|0o?[0-7_]+|[0-9_]+|0x[0-9a-fA-F_]+)\Z")),
    ("merge", re.compile(r"<<\Z")),
    ("null", re.compile(r"(?:~|null|Null|NULL)\Z")),
    (
        "timestamp",
        re.compile(
            r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9]{2}?-[0-9]{2}?(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}"
            r":[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?)\Z"
        ),
    ),
    ("value", re.compile(r"=\Z")),
)
"""What plain scalars mean in YAML 1.2, in the order of ruamel.yaml.resolver.implicit_resolvers."""


class _Unusual(Exception):
    """Carries "not mine" out of the recursion."""


def emit(value: Any, indent: int = 0) -> str | None:
    """`value` (a mapping that is not empty) as block YAML `indent` columns from the left, or None if it is unusual."""
    out: list[str] = []
    try:
        _mapping(value, indent, out, set())
    except _Unusual:
        return None
    return "".join(out)


def dump(value: Any) -> str:
    """`value` as ruamel writes it when configured as DVC configures it; slow, and right for everything."""
    from refmill.formats import yamlwriter  # noqa: PLC0415 - most commands get along without ruamel, which starts slowly

    return yamlwriter.dump(value)


def parse(block: str, indent: int = 0) -> Any:
    """The mapping that `block` holds if `emit` writes it in just that way, else None."""
    lines = block.split("\n")
    if lines.pop() != "" or not lines:
        return None
    try:
        value, end = _read_block(lines, 0, indent)
    except (_Unusual, RecursionError):
        return None
    return value if end == len(lines) and isinstance(value, dict) and emit(value, indent) == block else None


def _mapping(value: Any, indent: int, out: list[str], seen: set[int]) -> None:
    if not isinstance(value, dict) or not value or id(value) in seen:
        raise _Unusual  # a value that stands in two places becomes an anchor and an alias
    seen.add(id(value))
    pad = " " * indent
    for key, item in value.items():
        name = _key(key, indent)
        out.append(f"{pad}{name}:")
        _value(item, indent, indent + len(name) + 1, out, seen)


def _value(item: Any, indent: int, column: int, out: list[str], seen: set[int]) -> None:
    """What stands behind a key's colon."""
    if isinstance(item, dict):
        if item:
            out.append("\n")
            _mapping(item, indent + 2, out, seen)
            return
        out.append(_once(item, " {}\n", seen))
    elif isinstance(item, list):
        if item:
            out.append("\n")
            _sequence(item, indent, out, seen)
            return
        out.append(_once(item, " []\n", seen))
    else:
        out.append(f"{_scalar(item, column, indent + 2)}\n")


def _sequence(value: list[Any], indent: int, out: list[str], seen: set[int]) -> None:
    if id(value) in seen:
        raise _Unusual
    seen.add(id(value))
    pad = " " * indent
    for item in value:
        out.append(f"{pad}-")
        if isinstance(item, dict | list):
            if not item:
                out.append(_once(item, " {}\n" if isinstance(item, dict) else " []\n", seen))
                continue
            below: list[str] = []
            if isinstance(item, dict):
                _mapping(item, indent + 2, below, seen)
            else:
                _sequence(item, indent + 2, below, seen)
            below[0] = " " + below[0][indent + 2 :]  # its first line stands behind the dash
            out += below
        else:
            out.append(f"{_scalar(item, indent + 1, indent + 2) or ' '}\n")


def _once(value: Any, form: str, seen: set[int]) -> str:
    if id(value) in seen:
        raise _Unusual
    seen.add(id(value))
    return form


def _key(key: Any, indent: int) -> str:
    # ruamel breaks even keys at 80 columns, and writes those of 128 characters in another form.
    if type(key) is not str or not key or indent + len(key) + 2 > _WIDTH or _SAFE.match(key) is None:
        raise _Unusual
    return key if _is_plain(key) else _quoted(key)


def _scalar(value: Any, column: int, indent: int) -> str:
    """` value` as it follows a colon or dash that ends at `column`; further lines start at `indent`."""
    kind = type(value)
    if kind is str:
        if _SAFE.match(value) is None:
            raise _Unusual
        if _is_plain(value):
            return _folded(value, column, indent)
        return _folded_quotes(_quoted(value), column, indent)
    if value is None:
        return ""
    if kind is bool:
        return _folded("true" if value else "false", column, indent)
    if kind is int:
        return _folded(str(value), column, indent)
    if kind is float:
        return _folded(_float(value), column, indent)
    raise _Unusual


def _float(value: float) -> str:
    if value != value:  # noqa: PLR0124 - the one value that differs from itself
        return ".nan"
    return {float("inf"): ".inf", float("-inf"): "-.inf"}.get(value) or repr(value)


def _quoted(value: str) -> str:
    if "'" in value or "  " in value:
        raise _Unusual
    return f"'{value}'"


@lru_cache(maxsize=16384)
def _is_plain(value: str) -> bool:
    """Whether ruamel writes `value`, which has no unusual characters, without quotes."""
    if value[0] in _LEADING and not (value[0] == "-" and value[1:2] not in {"", " "} and not value.startswith("---")):
        if value[0] in "?:-":
            raise _Unusual
        return False
    if value.startswith("...") or "  " in value:
        raise _Unusual
    return _INSIDE.search(value) is None and _tag(value) == "str"


@lru_cache(maxsize=16384)
def _tag(value: str) -> str:
    """What a plain `value` means in YAML 1.2: str, int, float, bool, null, timestamp, …"""
    if value[0] not in _RESOLVED_STARTS:
        return "str"
    return next((tag for tag, pattern in _MEANINGS if pattern.match(value)), "str")


def _folded(value: str, column: int, indent: int) -> str:
    """A plain scalar; beyond 80 columns it goes on in the next line, as ruamel's emitter breaks lines."""
    if column + 1 + len(value) <= _WIDTH:
        return " " + value
    out = [" "]
    column += 1
    for number, word in enumerate(value.split(" ")):
        if number:
            if column >= _WIDTH:
                out.append("\n" + " " * indent)
                column = indent
            else:
                out.append(" ")
                column += 1
        if len(word) + column > _WIDTH and column > indent:
            out.append("\n" + " " * indent)
            column = indent
        out.append(word)
        column += len(word)
    return "".join(out)


def _folded_quotes(quoted: str, column: int, indent: int) -> str:
    """A text in single quotes, broken at the first single blank beyond 80 columns, never at its own ends."""
    if column + 1 + len(quoted) <= _WIDTH:
        return " " + quoted
    out = [" "]
    column += 1
    words = quoted.split(" ")
    for number, word in enumerate(words):
        if number:
            at_end = (number == 1 and words[0] == "'") or (number == len(words) - 1 and word == "'")
            broken = column > _WIDTH and not at_end
            out.append("\n" + " " * indent if broken else " ")
            column = indent if broken else column + 1
        out.append(word)
        column += len(word)
    return "".join(out)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _read_block(lines: list[str], at: int, indent: int) -> tuple[Any, int]:
    """The mapping or sequence whose first line is `at`, and the line after it."""
    if lines[at][indent : indent + 2] == "- " and _indent(lines[at]) == indent:
        return _read_sequence(lines, at, indent)
    value: dict[str, Any] = {}
    while at < len(lines) and _indent(lines[at]) == indent and lines[at][indent : indent + 2] != "- ":
        key, rest = _split_key(lines[at][indent:])
        if key in value:
            raise _Unusual
        at += 1
        if rest:
            value[key], at = _read_scalar(lines, at, indent, rest[1:])
        elif at < len(lines) and _indent(lines[at]) == indent + 2:
            value[key], at = _read_block(lines, at, indent + 2)
        elif at < len(lines) and lines[at].startswith(" " * indent + "- "):
            value[key], at = _read_sequence(lines, at, indent)
        else:
            value[key] = None
    return value, at


def _read_sequence(lines: list[str], at: int, indent: int) -> tuple[list[Any], int]:
    value: list[Any] = []
    dash = " " * indent + "- "
    while at < len(lines) and lines[at].startswith(dash):
        content = lines[at][indent + 2 :]
        item: Any
        if content.startswith("- ") or _KEY_LINE.match(content):
            lines[at] = " " * (indent + 2) + content
            item, at = _read_block(lines, at, indent + 2)
        else:
            item, at = _read_scalar(lines, at + 1, indent, content)
        value.append(item)
    return value, at


_KEY_LINE = re.compile(r"(?:'[^']*'|[^'\"\[{].*?):(?: |\Z)")


def _split_key(line: str) -> tuple[str, str]:
    found = _KEY_LINE.match(line)
    if found is None:
        raise _Unusual
    key = found.group().rstrip(" ")[:-1]
    return key[1:-1] if key[0] == "'" else key, line[len(key) + 1 :]


def _read_scalar(lines: list[str], at: int, indent: int, first: str) -> tuple[Any, int]:
    """The scalar that begins with `first`; deeper lines from `at` on belong to it."""
    parts = [first]
    while at < len(lines) and _indent(lines[at]) > indent:
        parts.append(lines[at])
        at += 1
    whole = " ".join(part.strip(" ") for part in parts).strip(" ") if len(parts) > 1 else first
    return _meaning(whole), at


def _meaning(whole: str) -> Any:
    if whole in {"", "{}", "[]"}:
        return {"": None, "{}": {}, "[]": []}[whole]
    if whole[0] == "'":
        return whole[1:-1]
    tag = _tag(whole)
    if tag == "str":
        return whole
    if tag == "bool":
        return whole == "true"
    try:
        if tag == "int":
            return int(whole)
        if tag == "float":
            return float(whole.replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError as error:
        raise _Unusual from error
    raise _Unusual
