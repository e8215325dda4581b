"""What the system says of the platform's processes. Nothing where there is no /proc."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_PART = re.compile(rb"\0refmill_web\.processes\.(\w+)\0")
_UNLIMITED = "unlimited"


@dataclass(frozen=True, slots=True)
class Process:
    """One process. `cpu` are seconds, also of children that it waited for; `started` is in UTC seconds."""

    part: str
    cpu: float
    memory: int
    files: int
    most_files: int
    threads: int
    started: float


def processes(parent: int) -> list[Process]:
    """The processes of the platform whose parent is `parent`, and this one, which is the web's."""
    found = [look("web", os.getpid())]
    if parent and (above := look("parent", parent)) is not None:
        found.append(above)
        found += [look(part, pid) for part, pid in _children(parent) if part != "web"]  # gunicorn's, which only waits
    return [process for process in found if process is not None]


def look(part: str, pid: int) -> Process | None:
    """A process; None if there is none of that number, or the system does not say."""
    place = PROC / str(pid)
    try:
        # After the name, which may hold anything: state, parent, …; proc(5) counts these fields from 3 on.
        words = (place / "stat").read_bytes().rpartition(b")")[2].split()
        ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
        return Process(
            part, cpu=sum(int(word) for word in words[11:15]) / ticks, memory=int(words[21]) * page,
            files=len(os.listdir(place / "fd")), most_files=_most_files(place), threads=int(words[17]),
            started=_booted() + int(words[19]) / ticks,
        )  # fmt: skip
    except (OSError, ValueError, IndexError):
        return None


def _children(parent: int) -> Iterator[tuple[str, int]]:
    """The parts of the platform among a process' children."""
    try:
        pids = (PROC / str(parent) / "task" / str(parent) / "children").read_text().split()
    except OSError:
        return
    for pid in pids:
        try:
            named = _PART.search((PROC / pid / "cmdline").read_bytes())
        except OSError:
            continue
        if named is not None:
            yield named[1].decode(), int(pid)


def _most_files(place: Path) -> int:
    line = next(line for line in (place / "limits").read_text().splitlines() if line.startswith("Max open files"))
    soft = line.removeprefix("Max open files").split()[0]
    return 0 if soft == _UNLIMITED else int(soft)


def _booted() -> float:
    """When the machine was started, in UTC seconds."""
    lines = (PROC / "stat").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("btime ")))
