"""Keeps a count of what fails again and again, so that it is tried at a slower and slower pace.

The rule to keep: whatever is set aside is tried again by itself; nobody has to take it back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from refmill.model.asides import Aside
from refmill.texts import Text

SOON = 3
"""Failures after which the pauses begin: what is over in a moment must not cost minutes."""
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 3600.0
"""Seconds; each pause is twice as long as the one before."""
BRIEF = 10.0
"""The longest pause where a part does not answer, or the disk is full: it is nobody's fault, and over at any time."""


class Asides:
    """`keep` is given all that is aside whenever it changes; `now` is the clock in UTC microseconds."""

    def __init__(
        self,
        keep: Callable[[Sequence[Aside]], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._keep, self._clock, self._now = keep, clock, now
        self._found: dict[str, Aside] = {}
        self._until: dict[str, float] = {}
        self._guard = threading.Lock()

    def rests(self, key: str) -> bool:
        """Whether it is too early to try it again."""
        return self._until.get(key, 0.0) > self._clock()

    def failed(self, key: str, repository_id: str, why: Text, *, lasting: bool = True) -> int:
        """Note a failure; how many there were. One that is not `lasting` has another cause than the repository."""
        with self._guard:
            before = self._found.get(key)
            tries = before.tries + 1 if before else 1
            pause = 0.0 if tries < SOON else min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(tries - SOON, 20))
            pause = pause if lasting else min(pause, BRIEF)
            now = self._now()
            since = before.since if before else now
            again = now + int(pause * 1_000_000)
            self._found[key] = Aside(repository_id, key, why, since, tries, again)
            self._until[key] = self._clock() + pause
            self._keep(tuple(self._found.values()))
        return tries

    def well(self, key: str) -> None:
        """It worked, or it is gone."""
        with self._guard:
            self._until.pop(key, None)
            if self._found.pop(key, None) is not None:
                self._keep(tuple(self._found.values()))
