"""What a push may cost before anybody has looked at it: turns, seconds and memory while git unpacks it.

A pack of two kilobytes can mean ninety gigabytes, and git asks nobody before it makes them. What is small is given to
git when all of it is there, and the end of what is large (without which git begins with no delta) in the same way: so
clients that are slow take nobody's turn.
"""

from __future__ import annotations

import array
import fcntl
import os
import resource
import select
import termios
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from refmill import errors
from refmill.texts import text

SECONDS, EACH_MIB = 300.0, 1.0
"""How long git may be busy with a push until it asks our hook, and what each mebibyte adds: honest pushes are done in a
fraction of that, also large ones on slow disks. Waiting for the client does not count, nor does our own check."""
MEMORY = 3 << 30
"""Bytes that each process of git may have of its own. GIT_ALLOC_LIMIT bounds single objects alone, and git keeps the
commits of a small push all at once. Ten million honest objects take half of this."""
OPTIONS = ("-c", "pack.threads=2")  # each thread holds an object and its base
OF_LARGE = ("-c", "receive.unpackLimit=1")  # `unpack-objects`, for few objects, makes what is in them as it goes
AT_ONCE, OF_ONE = 4, 2
"""Pushes that are unpacked at the same time: in all, and of one user, so that nobody takes every turn."""
PATIENCE = 300.0
"""Seconds that a push waits for its turn."""
GRACE = 10.0
"""Seconds in which a git that has to end takes its quarantine away."""


class TookTooLong(errors.LimitExceeded):
    """A push that git could not unpack in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            text("git took longer than %(seconds)s seconds to unpack this push", seconds=int(seconds)),
            text("Push fewer commits at a time, and keep large files with DVC instead of git (`dvc add`)."),
        )


class Turns:
    """Who may unpack now."""

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._taken: Counter[str] = Counter()

    @contextmanager
    def of(self, user: str) -> Iterator[None]:
        """A turn of the user. Raises Unavailable if there is none for too long."""

        def free() -> bool:
            return self._taken.total() < AT_ONCE and self._taken[user] < OF_ONE

        with self._free:
            if not self._free.wait_for(free, PATIENCE):
                raise errors.Unavailable(
                    text("the server is busy with other pushes, and did not come to this one"),
                    text("Push again in some minutes, and not many large pushes at the same time."),
                )
            self._taken[user] += 1
        try:
            yield
        finally:
            with self._free:
                self._taken[user] -= 1
                self._free.notify_all()


class Pipe:
    """The pipe into a git, whose end is `fd`, and the seconds that git may still be busy with what goes into it."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd, self._allowed, self._used = fd, SECONDS, 0.0
        self._since = time.monotonic()

    def write(self, data: bytes) -> None:
        """All of it. Raises TookTooLong, and BrokenPipeError once nobody reads."""
        self._allowed += len(data) / (1 << 20) * EACH_MIB
        if _unread(self._fd):  # git was busy while we waited for the client
            self._used += time.monotonic() - self._since
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        view = memoryview(data)
        while view:
            began = time.monotonic()
            if poll.poll(self._left() * 1000):
                with suppress(BlockingIOError):
                    view = view[os.write(self._fd, view) :]
            self._used += time.monotonic() - began
        self._since = time.monotonic()

    def wait(self, heard: Callable[[float], bool]) -> None:
        """Until git asks, or has ended, as `heard` says within so many seconds. Raises TookTooLong."""
        if not heard(self._left()):
            raise TookTooLong(self._allowed)

    def _left(self) -> float:
        if self._used >= self._allowed:
            raise TookTooLong(self._allowed)
        return self._allowed - self._used


def bound(pid: int) -> None:
    """Let a git, and all that it starts from now on, have no more than MEMORY, and be the first to go where the machine
    has none left. (Linux alone can be told so of another process.)"""
    with suppress(OSError):  # it has ended
        if hasattr(resource, "prlimit"):
            resource.prlimit(pid, resource.RLIMIT_DATA, (MEMORY, MEMORY))
    with suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")


def _unread(fd: int) -> int:
    """Bytes in a pipe that its reader has not taken, 0 where that cannot be known."""
    found = array.array("i", [0])
    with suppress(OSError):
        fcntl.ioctl(fd, termios.FIONREAD, found)
    return found[0]
