"""What an expression of Prometheus is about: the figures that it names, and the labels by which it chooses or adds up."""

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*")|(?P<name>[a-zA-Z_:][\w:]*)|(?P<range>\[[^\]]*\])|(?P<number>\d[\w.]*)|(?P<sign>=~|!~|!=|[<>=]=?|[-+*/%^(){},])|(?P<space>\s+)"""
)
_FUNCTIONS = {
    "sum", "min", "max", "rate", "increase", "time", "absent", "vector", "histogram_quantile", "predict_linear",
}  # fmt: skip
_SUMS = {"sum", "min", "max"}
_WORDS = {"or", "and", "unless"}
_LISTS = {"by", "without"}


@dataclass(frozen=True)
class Expression:
    """The names of an expression, and pairs of a name (or "" for the whole) and a label."""

    names: frozenset[str]
    labels: frozenset[tuple[str, str]]


def tokens(words: str) -> list[tuple[str, str]]:
    """Its parts. Raises AssertionError for what is none."""
    found, place = [], 0
    while place < len(words):
        match = _TOKEN.match(words, place)
        assert match is not None, f"not understood: {words[place:]!r} in {words!r}"
        place = match.end()
        if match.lastgroup != "space":
            found.append((str(match.lastgroup), match[0]))
    return found


def parsed(words: str) -> Expression:
    """What it is about. Raises AssertionError for what cannot be one."""
    names, labels = set[str](), set[tuple[str, str]]()
    stack: list[str] = []
    name, listing = "", False
    parts = tokens(words)
    for place, (kind, part) in enumerate(parts):
        following = parts[place + 1][1] if place + 1 < len(parts) else ""
        if kind == "sign" and part in "({":
            stack.append("list" if listing else part)
            listing = False
        elif kind == "sign" and part in ")}":
            assert stack, words
            assert stack.pop() in {"(": "", ")": "(list", "}": "{"}[part], words
        elif kind == "name" and stack[-1:] == ["{"]:
            assert following in ("=", "!=", "=~", "!~"), words
            labels.add((name, part))
        elif kind == "name" and stack[-1:] == ["list"]:
            labels.add(("", part))
        elif kind == "name" and part in _LISTS:
            assert following == "(", words
            listing = True
        elif kind == "name" and part not in _WORDS:
            called = following == "(" or (part in _SUMS and following in _LISTS)
            assert (part in _FUNCTIONS) == called, f"{part} in {words}"
            if part not in _FUNCTIONS:
                names.add(part)
                name = part
    assert not stack, words
    return Expression(frozenset(names), frozenset(labels))
