"""Which runs may be on the cluster: a bounded number, in turns between owners."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from refmill.ports.engines import RunOrder


@dataclass(frozen=True, slots=True)
class _Place:
    owner: str
    key: tuple[int, int, str]


class Turns:
    """At most `limit` runs at a time (0: any number). Who has the fewest there comes first; of one owner's runs, those
    of higher priority, then the older ones."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._there: dict[str, str] = {}
        self._waiting: dict[str, _Place] = {}
        self._guard = threading.Lock()

    def take(self, order: RunOrder, *, there: bool = False) -> bool:
        """Whether the run may go onto the cluster now; one that is `there` already may stay."""
        run = order.run
        with self._guard:
            if run.id in self._there:
                return True
            self._waiting[run.id] = _Place(order.owner, (-run.priority, run.created, run.id))
            room = not self._limit or len(self._there) < self._limit
            if not there and not (room and self._next() == run.id):
                return False
            del self._waiting[run.id]
            self._there[run.id] = order.owner
            return True

    def leave(self, run_id: str) -> list[str]:
        """The run is over, or waits no more; gives the runs that wait."""
        with self._guard:
            self._there.pop(run_id, None)
            self._waiting.pop(run_id, None)
            return list(self._waiting)

    @property
    def count(self) -> int:
        """How many runs are there."""
        return len(self._there)

    def _next(self) -> str:
        many = list(self._there.values())
        return min(self._waiting, key=lambda run: (many.count(self._waiting[run].owner), self._waiting[run].key))
