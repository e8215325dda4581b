"""What stages print, as it is read back: while they run and long after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from refmill.model.runs import Run

Stream: TypeAlias = Literal["out", "err", "note"]
"""out, err = the command's own; note = a remark of the platform (cut lines, a restart, the reason of an end)."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line: its number from 1, when it was printed (UTC microseconds), from where, without the line end.

    A `partial` line (a progress bar, a prompt) is not finished: the next line of its stream takes its place.
    """

    number: int
    time: int
    stream: Stream
    text: str
    partial: bool = False


@dataclass(frozen=True, slots=True)
class LogPage:
    """Some lines in order; `next` is the number to ask for next, `complete` that nothing more will ever follow."""

    lines: tuple[LogLine, ...] = ()
    next: int = 1
    complete: bool = False


class Logs(Protocol):
    """Logs of stage attempts."""

    def read(self, run: Run, address: str, attempt: int, *, start: int = 1, limit: int = 1000) -> LogPage:
        """Up to `limit` lines from number `start`; a negative `start` counts from the end (-500 = the last 500).
        A stage that printed nothing yet, or never ran, has an empty page."""
