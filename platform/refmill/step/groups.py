"""A control group of its own for an attempt: walls for its processes and its memory that hold between two looks.

What describes it in a SPEC:
    version   1 or 2 of the kernel's control groups
    name      of the attempt's group
    places    by controller (1: pids and memory; 2: `unified` alone) the folder in which the group is made, and the
              folder of the group to which the supervisor belongs

In version 2 a command is born inside. In version 1 the supervisor goes in, starts it, and goes out again: by `tasks`
and from its only thread that costs some microseconds, where a shell between them would cost a millisecond. So a command
is in the group from its first instruction, and the supervisor outlives it.

The rule to keep: why an attempt ended is what the kernel counted in its group; nothing is guessed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Any, Iterator

PATIENCE = 10.0  # seconds to wait for processes that SIGKILL does not end (blocked in the kernel)
PAUSE = 0.005  # seconds between two tries to take a group away: a process that was killed leaves it a little later
NEAR = 1 << 20  # bytes below its limit at which version 1, which does not count the hits, has a group killed
FILES = {
    1: {
        "most": ("pids", "pids.max"), "forks": ("pids", "pids.events"),
        "limit": ("memory", "memory.limit_in_bytes"), "swap": ("memory", "memory.memsw.limit_in_bytes"),
        "used": ("memory", "memory.usage_in_bytes"), "peak": ("memory", "memory.max_usage_in_bytes"),
        "stat": ("memory", "memory.stat"), "kills": ("memory", "memory.oom_control"),
    },
    2: {
        "most": ("unified", "pids.max"), "forks": ("unified", "pids.events"),
        "limit": ("unified", "memory.max"), "swap": ("unified", "memory.swap.max"),
        "used": ("unified", "memory.current"), "peak": ("unified", "memory.peak"),
        "stat": ("unified", "memory.stat"), "kills": ("unified", "memory.events"),
        "cpu": ("unified", "cpu.stat"), "together": ("unified", "memory.oom.group"),
        "kill": ("unified", "cgroup.kill"),
    },
}  # fmt: skip
"""By version, what a file is for, its controller and its name."""


class Group:
    """The group that `found` describes, made or not."""

    def __init__(self, found: dict[str, Any]) -> None:
        self._version = int(found["version"])
        self._files = FILES[self._version]
        self._entrance = "tasks" if self._version == 1 else "cgroup.procs"
        self._own: dict[str, str] = {
            kind: os.path.join(parent, found["name"]) for kind, (parent, _) in found["places"].items()
        }
        self._homes = [(self._own[kind], home) for kind, (_, home) in found["places"].items()]
        self._processes = 0
        self._memory = 0
        self._closed = False

    def make(self, processes: int, memory: int) -> None:
        """Make it, with at most so many processes and threads and bytes of memory; 0 is no limit. Raises OSError."""
        self.clear()  # nobody knows any more of what would lie there
        self._closed = False
        for own, _ in self._homes:
            os.mkdir(own)
        self._processes, self._memory = processes, memory
        self._allow(0)
        if memory:
            self._write("limit", str(memory))
            with contextlib.suppress(OSError):  # a kernel that does not account for swap
                self._write("swap", str(memory) if self._version == 1 else "0")  # version 1 counts both together
        self._together("1")

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """What is started meanwhile is in the group. Raises OSError if one cannot go in, or not out again."""
        entered: list[str] = []
        self._allow(1)  # more: for the one who comes in
        self._together("0")  # else what is running there could take the one who came in with itself
        try:
            for own, home in self._homes:
                _put(os.path.join(own, self._entrance), "0")
                entered.append(home)
            yield
        finally:
            for home in entered:
                _put(os.path.join(home, self._entrance), "0")
            self._allow(0)
            self._together("1")

    @property
    def unified(self) -> str:
        """Its folder, if it is of version 2, in which a process can be born; else nothing."""
        return self._own.get("unified", "")

    def passed(self) -> str:
        """The limit that the kernel has held, and for which it refused or killed something: processes, memory or "".

        A process that the kernel killed for lack of memory elsewhere is not counted: then the group's own limit was
        not hit.
        """
        if self._closed:
            return ""
        if self._processes and self._word("forks", "max"):
            return "processes"
        if self._memory and self._word("kills", "oom_kill"):
            hit = self._word("kills", "oom") if self._version == 2 else self.peak() > self._memory - NEAR
            return "memory" if hit else ""
        return ""

    @property
    def counts(self) -> bool:
        """Whether the kernel counts whom it kills for lack of memory."""
        return "oom_kill" in self._words("kills")

    def memory(self) -> tuple[int, int]:
        """Bytes that the group holds, without those of the file cache, and those of the file cache."""
        stat = self._words("stat")
        if self._version == 1:
            cache = stat.get("total_cache", 0) - stat.get("total_shmem", 0)
        else:
            cache = stat.get("file", 0) - stat.get("shmem", 0)
        kind, name = self._files["used"]
        return max(0, self._number(kind, name) - cache), max(0, cache)

    def peak(self) -> int:
        """The most bytes that it held at a time, with the file cache; 0 where the kernel does not tell."""
        kind, name = self._files["peak"]
        return self._number(kind, name)

    def cpu_seconds(self) -> float:
        """What all that was in it has used; 0 where the kernel does not tell."""
        return self._word("cpu", "usage_usec") / 1e6 if "cpu" in self._files else 0.0

    def members(self) -> list[int]:
        """The processes in it, but for this one."""
        found: set[int] = set()
        for own, _ in self._homes:
            found.update(_members(own))
        return sorted(found - {os.getpid()})

    def kill(self) -> None:
        """SIGKILL to all that is in it, after which nothing new can be started there."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._write("most", "0")
        if "kill" in self._files:
            try:
                self._write("kill", "1")
            except OSError:  # Linux before 5.14
                pass
            else:
                return
        for pid in self.members():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def remove(self) -> bool:
        """Take it away; False if something is in it still."""
        left = [own for own, _ in self._homes if not _remove(own)]
        return not left

    def clear(self, patience: float = PATIENCE) -> bool:
        """End all that is in it, and take it away. False if something remains after `patience` seconds."""
        until = time.monotonic() + patience
        while not self.remove():
            if time.monotonic() > until:
                return False
            self.kill()
            for own, _ in self._homes:
                _end_below(own)
            time.sleep(PAUSE)
        return True

    def _allow(self, more: int) -> None:
        if self._processes:
            self._write("most", str(self._processes + more))

    def _together(self, word: str) -> None:
        """Whether the kernel ends all of the group when it has to end one."""
        if "together" in self._files:
            with contextlib.suppress(OSError):  # Linux before 4.19
                self._write("together", word)

    def _write(self, use: str, word: str) -> None:
        kind, name = self._files[use]
        _put(os.path.join(self._own[kind], name), word)

    def _number(self, kind: str, name: str) -> int:
        try:
            return int(_get(os.path.join(self._own[kind], name)))
        except (OSError, KeyError, ValueError):
            return 0

    def _word(self, use: str, key: str) -> int:
        return self._words(use).get(key, 0)

    def _words(self, use: str) -> dict[str, int]:
        """A file of lines "key number"."""
        kind, name = self._files[use]
        try:
            pairs = [line.split() for line in _get(os.path.join(self._own[kind], name)).splitlines()]
            return {pair[0].decode(): int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
        except (OSError, KeyError):
            return {}


def _members(folder: str) -> list[int]:
    try:
        return [int(word) for word in _get(os.path.join(folder, "cgroup.procs")).split()]
    except OSError:
        return []


def _end_below(own: str) -> None:
    """Groups that a command made in its own, where it has the right to."""
    for folder, _, _ in os.walk(own, topdown=False):
        if folder != own:
            for pid in _members(folder):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            _remove(folder)


def _remove(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def _get(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return b"".join(iter(lambda: os.read(descriptor, 1 << 16), b""))
    finally:
        os.close(descriptor)


def _put(path: str, word: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, word.encode())
    finally:
        os.close(descriptor)
