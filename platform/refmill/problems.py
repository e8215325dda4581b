"""What is wrong in a file that somebody wrote, with its place and its remedy."""

from __future__ import annotations

from dataclasses import dataclass, replace

from refmill.texts import Text


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in a file: `line` and `column` count from 1, 0 = the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: where, what (`message`), how to mend it (`remedy`), and the offending line as it stands (`excerpt`).

    `kind` is a stable slug ("unknown-key", "cycle", …) by which tests, documentation and editors know the fault.
    A `warning` is told, but refuses nothing.
    """

    kind: str
    place: Place
    message: Text
    remedy: Text
    excerpt: str = ""
    warning: bool = False

    def below(self, folder: str) -> Problem:
        """The same problem as seen from above the directory `folder`, which its place counts from."""
        if not folder:
            return self
        return replace(self, place=replace(self.place, file=f"{folder}/{self.place.file}"))
