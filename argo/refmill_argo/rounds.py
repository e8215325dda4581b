"""Looks at one run after the other, soon after something happened to it, and again after a while if that failed.

The rule to keep: a run is looked at by one thread at a time, and what happens meanwhile has it looked at once more. A
look that fails says nothing about the run: it is only made again, later and later.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable

from refmill import errors

LOG = logging.getLogger(__name__)
THREADS = 4  # looks wait for the cluster and the database, not for a core
TRIES = 5  # looks that fail for another reason than that a part does not answer now
GATHER = 0.2  # seconds: of a hundred changes within a moment one look is made
FIRST, LAST = 1.0, 15.0  # seconds before a look that failed is made again
PATIENCE = 10.0  # seconds that close() waits for looks under way


class Rounds:
    """`look(key)` gives the seconds after which it wants to be called again in any case, or None. `give_up(key, error)`
    is called after a look has failed TRIES times in a row, for another reason than that a part does not answer now."""

    def __init__(
        self, look: Callable[[str], float | None], give_up: Callable[[str, Exception], float | None],
        threads: int = THREADS,
    ) -> None:  # fmt: skip
        self._look, self._give_up = look, give_up
        self._due: dict[str, float] = {}
        # Of hundreds that wait, the first without a look at all of them; an entry that `_due` does not confirm is void.
        self._order: list[tuple[float, str]] = []
        self._busy: set[str] = set()
        self._failures: dict[str, int] = {}
        self._wrong: dict[str, int] = {}
        self._changed = threading.Condition()
        self._open = True
        self._threads = [
            threading.Thread(target=self._run, name=f"refmill-argo-{number}", daemon=True) for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def soon(self, key: str, seconds: float = GATHER) -> None:
        """Look within so many seconds; an earlier look that is due stays."""
        due = time.monotonic() + seconds
        with self._changed:
            if due < self._due.get(key, float("inf")):
                self._due[key] = due
                heapq.heappush(self._order, (due, key))
                self._changed.notify()

    def forget(self, key: str) -> None:
        """Nothing is to be looked at any more."""
        with self._changed:
            self._due.pop(key, None)
            self._failures.pop(key, None)
            self._wrong.pop(key, None)

    def close(self) -> None:
        """Begin nothing more; wait a while for what is being done."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
        end = time.monotonic() + PATIENCE
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, end - time.monotonic()))

    def _run(self) -> None:
        while (key := self._next()) is not None:
            again = self._looked(key)
            with self._changed:
                self._busy.discard(key)
                if key in self._due:
                    heapq.heappush(self._order, (self._due[key], key))
                    self._changed.notify()
            if again is not None:
                self.soon(key, again)

    def _next(self) -> str | None:
        with self._changed:
            while self._open:
                first = self._first()
                now = time.monotonic()
                if first is not None and first[0] <= now:
                    heapq.heappop(self._order)
                    del self._due[first[1]]
                    self._busy.add(first[1])
                    if self._order:
                        self._changed.notify()  # another thread waits for what comes after it
                    return first[1]
                self._changed.wait(None if first is None else first[0] - now)
        return None

    def _first(self) -> tuple[float, str] | None:
        """Who is looked at next, and when. One that is being looked at has its place again after that."""
        while self._order:
            due, key = self._order[0]
            if key not in self._busy and self._due.get(key) == due:
                return due, key
            heapq.heappop(self._order)
        return None

    def _looked(self, key: str) -> float | None:
        try:
            again = self._look(key)
        except errors.Unavailable as error:
            LOG.warning("%s has to wait: %s", key, error)
        except Exception as error:
            wrong = self._wrong[key] = self._wrong.get(key, 0) + 1
            LOG.exception("a look at %s failed (%s of %s)", key, wrong, TRIES)
            if wrong >= TRIES:
                return self._gave_up(key, error)
        else:
            self._failures.pop(key, None)
            self._wrong.pop(key, None)
            return again
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        return float(min(FIRST * 2 ** (failures - 1), LAST))

    def _gave_up(self, key: str, error: Exception) -> float | None:
        try:
            return self._give_up(key, error)
        except Exception:
            LOG.exception("not even that %s failed could be told", key)
            return LAST
