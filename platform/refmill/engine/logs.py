"""Reads the logs that supervisors write (`refmill/step/output.py` has the format): by line number, and as they grow.

The rule to keep: a line's number is its place in the file, so it never changes; what has no newline yet is not there.
"""

from __future__ import annotations

import calendar
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from refmill.engine import attempts
from refmill.model.runs import Run
from refmill.ports.logs import LogLine, LogPage, Stream
from refmill.texts import Text

STREAMS: dict[str, tuple[Stream, bool]] = {
    "o": ("out", False), "e": ("err", False), "s": ("note", False), "O": ("out", True), "E": ("err", True),
}  # fmt: skip
BLOCK = 1 << 20  # bytes read at a time
MARKS = 256  # logs of which a process remembers where it was
FIRST = (1, 0)
Mark: TypeAlias = tuple[int, int]
"""The number of a line, and where in the file it begins."""
POLL = 0.1  # seconds between two looks at a growing file


class AttemptLogs:
    """`ports.logs.Logs` over the engine's work folder and, for runs that are over, the archive of their repository.

    `archive(run)` is the folder that `keep` copied the logs to; `bring(run, name)` brings one there that is only in a
    store far away.
    """

    def __init__(
        self, work: Path, archive: Callable[[Run], Path], bring: Callable[[Run, str], object] | None = None
    ) -> None:
        self._work = work
        self._archive, self._bring = archive, bring
        self._marks: dict[Path, tuple[int, int]] = {}

    def path(self, run: Run, address: str, attempt: int) -> tuple[Path, bool]:
        """Where an attempt's log is, and whether it is complete."""
        live = attempts.directory(self._work, run.id, address, attempt)
        name = f"{attempts.name(address, attempt)}.log"
        kept = self._archive(run) / name
        if kept.exists():
            return kept, True
        if not live.exists():
            if self._bring is not None:
                self._bring(run, name)
            return kept, True
        return live / attempts.LOG, (live / "ended").exists()

    def read(self, run: Run, address: str, attempt: int, *, start: int = 1, limit: int = 1000) -> LogPage:
        path, complete = self.path(run, address, attempt)
        page, mark = _read(path, start, limit, self._marks.get(path, FIRST), complete=complete)
        if len(self._marks) >= MARKS:
            self._marks.pop(next(iter(self._marks)), None)
        self._marks[path] = mark
        return page


def read(path: Path, *, start: int = 1, limit: int = 1000, complete: bool = False) -> LogPage:
    """Up to `limit` lines from number `start` (negative: counted from the end). `complete` is what the caller knows of
    the file; the page is complete if it also reaches the end."""
    return _read(path, start, limit, FIRST, complete=complete)[0]


def _read(path: Path, start: int, limit: int, mark: Mark, *, complete: bool) -> tuple[LogPage, Mark]:
    """A page, and the mark of the line after it. Beginning at a `mark` spares whoever follows a log of 64 MiB, and asks
    for its end ten times a second, the reading of all that stands before."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return LogPage((), max(start, 1), complete), FIRST
    with file:
        if start < 0:
            start = max(1, _count(file.fileno()) + start + 1)
        start = max(start, 1)
        number, offset = mark if mark[0] <= start else FIRST
        file.seek(offset)
        lines: list[LogLine] = []
        at_end = True
        for raw in file:
            if not raw.endswith(b"\n"):
                break
            if len(lines) >= limit:
                at_end = False
                break
            if number >= start:
                lines.append(parse(raw, number))
            number += 1
            offset += len(raw)
    return LogPage(tuple(lines), start + len(lines), complete and at_end), (number, offset)


def follow(path: Path, ended: Callable[[], bool], *, start: int = 1, poll: float = POLL) -> Iterator[list[LogLine]]:
    """Lists of lines as they come, until `ended()` and nothing is left; empty ones between let a caller stop."""
    number, rest, offset = 1, b"", 0
    while True:
        last = ended()
        data = b""
        try:
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read(BLOCK)
        except FileNotFoundError:
            pass
        offset += len(data)
        *raw, rest = (rest + data).split(b"\n")
        yield [parse(line, place) for place, line in enumerate(raw, number) if place >= start]
        number += len(raw)
        if data:
            continue
        if last:
            return
        time.sleep(poll)


def note(directory: Path, remark: Text) -> None:
    """Append a remark of the engine to an attempt's log: the reason of a bad end stands where people look."""
    now = time.time_ns() // 1000
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 1_000_000))
    words = " ".join(str(remark).split())
    line = f"{stamp}.{now % 1_000_000:06d}Z s {words}\n".encode("utf-8", "replace")
    descriptor = os.open(directory / attempts.LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def parse(raw: bytes, number: int) -> LogLine:
    """One line of the file. What is no line of ours (a damaged disk) is shown as it is."""
    line = raw.rstrip(b"\n").decode("utf-8", "replace")
    stamp, _, rest = line.partition(" ")
    letter, _, words = rest.partition(" ")
    try:
        seconds = calendar.timegm(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S"))
        stream, partial = STREAMS[letter]
        return LogLine(number, seconds * 1_000_000 + int(stamp[20:26]), stream, words, partial)
    except (ValueError, KeyError):
        return LogLine(number, 0, "note", line)


def _count(descriptor: int) -> int:
    total = 0
    while block := os.read(descriptor, BLOCK):
        total += block.count(b"\n")
    return total
