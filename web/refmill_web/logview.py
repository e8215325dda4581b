"""Lines of a log as they go to a page: text in coloured pieces, never markup of the program that printed it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypedDict

from refmill.ports.logs import LogLine, LogPage
from refmill_web.escapes import SEQUENCE

SHOWN_CHARACTERS = 4000
TAIL = 500
_WARNING = re.compile(r"\b(?:\w*Error|\w*Exception|\w*Warning|Traceback|CRITICAL|FATAL|ERROR)\b(?=\s?[:(]|$)")


class Piece(TypedDict):
    """Text of one look; `c` are class names (`a1` bold, `f2` green, …), "" for plain."""

    c: str
    t: str


class Row(TypedDict):
    """A line for the page: number, time (UTC microseconds), stream, whether it tells of trouble, its pieces."""

    n: int
    t: int
    s: str
    w: bool
    p: list[Piece]


@dataclass(frozen=True, slots=True)
class LogView:
    """A stretch of a log. `first` is the number of its first line, `next` the one to ask for next."""

    rows: list[Row]
    next: int
    complete: bool

    @property
    def first(self) -> int:
        """The number of the first line shown, or of the one that would be."""
        return self.rows[0]["n"] if self.rows else self.next


def view(page: LogPage) -> LogView:
    """The lines of `page` for showing."""
    return LogView([row(line) for line in page.lines], page.next, page.complete)


def row(line: LogLine) -> Row:
    """One line; what is longer than 4,000 characters is cut here (the download has it whole)."""
    shown = line.text[:SHOWN_CHARACTERS]
    cut = len(line.text) - len(shown)
    found = list(pieces(shown))
    if cut:
        found.append({"c": "dim", "t": f" … +{cut}"})
    return {"n": line.number, "t": line.time, "s": line.stream, "w": bool(_WARNING.search(shown)), "p": found}


def pieces(text: str) -> Iterator[Piece]:
    """SGR sequences become class names, every other control sequence vanishes. (ECMA-48, §8.3.117)"""
    look: set[str] = set()
    position = 0
    for match in SEQUENCE.finditer(text):
        if match.start() > position:
            yield {"c": " ".join(sorted(look)), "t": text[position : match.start()]}
        position = match.end()
        if match.group(2) == "m":
            _apply(look, match.group(1))
    if position < len(text):
        yield {"c": " ".join(sorted(look)), "t": text[position:]}


def _apply(look: set[str], codes: str) -> None:
    numbers = [int(code) if code.isdecimal() else 0 for code in codes.replace(":", ";").split(";")][:16]
    while numbers:
        code = numbers.pop(0)
        if code == 0:
            look.clear()
        elif code in {1, 2, 3, 4}:
            look.add(f"a{code}")
        elif code == 22:
            look -= {"a1", "a2"}
        elif code in {23, 24}:
            look.discard(f"a{code - 20}")
        elif code in {38, 48}:
            _colour(look, "f" if code == 38 else "b", numbers)
        elif 30 <= code <= 37 or 90 <= code <= 97 or code == 39:
            _replace(look, "f", {39: None}.get(code, code - 30 if code < 90 else code - 82))
        elif 40 <= code <= 47 or 100 <= code <= 107 or code == 49:
            _replace(look, "b", {49: None}.get(code, code - 40 if code < 100 else code - 92))


def _colour(look: set[str], layer: str, numbers: list[int]) -> None:
    """38;5;N keeps the sixteen basic colours; other palette and RGB colours are taken as plain."""
    kind = numbers.pop(0) if numbers else 0
    if kind == 5 and numbers:
        index = numbers.pop(0)
        _replace(look, layer, index if index < 16 else None)
    elif kind == 2:
        del numbers[:3]
        _replace(look, layer, None)


def _replace(look: set[str], layer: str, index: int | None) -> None:
    look -= {item for item in look if item.startswith(layer)}
    if index is not None:
        look.add(f"{layer}{index}")
