"""Ends the processes of a server whose lease could not be renewed in time, before another server may write.

The parent notes until when the lease holds, in a file without a name that its children inherit. Each process looks by
itself, for the others may hang or be stopped; and each has a timer of the kernel that ends it whatever Python does. A
process that was stopped (SIGSTOP, a frozen container) and goes on after its time dies of that timer before it does
anything else.

The rule to keep: what is noted is reckoned from before the renewal was asked for.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

END, SURE = 0.4, 0.25
"""What is left of the lease, as a part of it, when a server ends itself, and when the kernel does that."""
LOOKS = 30.0
"""Looks at what is left in the time of a lease."""
_EVER = 1e8
_TIME = struct.Struct("d")


def steady() -> float:
    """Seconds that go on while the machine sleeps, and that no change of the clock touches."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


@dataclass(frozen=True, slots=True)
class Term:
    """Until when the lease of this server holds: a file that its processes share, and how long a lease lasts."""

    descriptor: int
    seconds: float

    @classmethod
    def new(cls, seconds: float, began: float) -> Term:
        """One that began at that moment of `steady`."""
        with tempfile.TemporaryFile() as file:
            made = cls(os.dup(file.fileno()), seconds)
        made.extend(began)
        return made

    def extend(self, began: float) -> None:
        """A renewal that was asked for at that moment has come through."""
        os.pwrite(self.descriptor, _TIME.pack(began + self.seconds), 0)

    def never_ends(self) -> None:
        """Nothing that needs the lease is done any more."""
        self.extend(steady() + _EVER)

    def left(self) -> float:
        """Seconds until others may write."""
        until: float = _TIME.unpack(os.pread(self.descriptor, _TIME.size, 0))[0]
        return until - steady()


def watch(term: Term, end: Callable[[], None]) -> None:
    """In the main thread of a process: call `end` in time if the term is not extended, and have the kernel end the
    process if that is not done."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _set_timer(term)
    threading.Thread(target=_watch, args=(term, end), name="lease", daemon=True).start()


def watch_child(handed: dict[str, Any]) -> None:
    """The same in a child of the parent, which ends with all of its group, git included."""
    if handed["lease"] is not None:
        watch(Term(*handed["lease"]), lambda: os.killpg(0, signal.SIGKILL))


def _watch(term: Term, end: Callable[[], None]) -> None:
    while True:
        _set_timer(term)
        if term.left() < END * term.seconds:
            end()
        time.sleep(term.seconds / LOOKS)


def _set_timer(term: Term) -> None:
    signal.setitimer(signal.ITIMER_REAL, max(0.001, term.left() - SURE * term.seconds))
