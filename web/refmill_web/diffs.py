"""What a commit changed, as lines; bounded, since anybody can push a commit that changes everything."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from refmill import errors
from refmill.ports.trees import Tree

FILES = 60
LINES = 3000
FILE_BYTES = 256 << 10
FILE_LINES = 4000
CONTEXT = 3
Sign: TypeAlias = Literal["+", "-", " ", "@"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a difference: its number before and after (None where it is not there), and its text."""

    sign: Sign
    old: int | None
    new: int | None
    text: str


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file's change. `lines` is empty for binary and for very large files (`shown` is False then)."""

    path: str
    kind: Literal["added", "deleted", "changed"]
    lines: tuple[Line, ...] = ()
    shown: bool = True

    @property
    def added(self) -> int:
        """How many lines came."""
        return sum(line.sign == "+" for line in self.lines)

    @property
    def removed(self) -> int:
        """How many lines went."""
        return sum(line.sign == "-" for line in self.lines)


def changes(paths: Iterable[str], old: Tree | None, new: Tree) -> tuple[list[FileChange], bool]:
    """The changes of `paths`, and whether some were left out for their number or length."""
    found: list[FileChange] = []
    budget = LINES
    for path in paths:
        if len(found) >= FILES:
            return found, True
        change = _change(path, old, new)
        if len(change.lines) > budget:
            change = FileChange(path, change.kind, shown=False)
        budget -= len(change.lines)
        found.append(change)
    return found, False


def _change(path: str, old: Tree | None, new: Tree) -> FileChange:
    before, after = _read(old, path), _read(new, path)
    kind: Literal["added", "deleted", "changed"] = "changed"
    if before == b"" and (old is None or old.entry(path) is None):
        kind = "added"
    elif after == b"" and new.entry(path) is None:
        kind = "deleted"
    if before is None or after is None or b"\0" in before[:8000] or b"\0" in after[:8000]:
        return FileChange(path, kind, shown=False)
    left, right = _lines(before), _lines(after)
    if max(len(left), len(right)) > FILE_LINES:
        return FileChange(path, kind, shown=False)
    return FileChange(path, kind, tuple(_hunks(left, right)))


def _read(tree: Tree | None, path: str) -> bytes | None:
    """A file's bytes, b"" where there is none, None where it cannot be shown."""
    entry = tree.entry(path) if tree else None
    if tree is None or entry is None:
        return b""
    if entry.kind not in {"file", "link"}:
        return None
    try:
        return tree.read(path, FILE_BYTES)
    except (errors.NotFound, errors.LimitExceeded):
        return None


def _lines(data: bytes) -> list[str]:
    return data.decode("utf-8", "replace").splitlines()


def _hunks(left: list[str], right: list[str]) -> Iterator[Line]:
    matcher = difflib.SequenceMatcher(None, left, right)
    for group in matcher.get_grouped_opcodes(CONTEXT):
        yield Line("@", None, None, f"@@ -{group[0][1] + 1} +{group[0][3] + 1} @@")
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                yield from (Line(" ", i + 1, j + 1, left[i]) for i, j in zip(range(i1, i2), range(j1, j2), strict=True))
                continue
            yield from itertools.chain(
                (Line("-", i + 1, None, left[i]) for i in range(i1, i2)),
                (Line("+", None, j + 1, right[j]) for j in range(j1, j2)),
            )
