"""Which runs may be on the cluster: a bounded number, in turns between owners, of each a bounded number."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass

from refmill.ports.engines import RunOrder
from refmill.texts import Text, counted


@dataclass(frozen=True, slots=True)
class _Place:
    owner: str
    priority: int
    age: tuple[int, str]

    @property
    def rank(self) -> tuple[int, tuple[int, str]]:
        """Among those of its owner, the smallest first."""
        return -self.priority, self.age


class Turns:
    """At most `limit` runs at a time, at most `each` of one owner (0: any number). The owner who has the fewest there
    comes first, among equals who waited longest for a turn, as with the local engine's stages; of one owner's runs,
    those of higher priority, then the older ones. An owner who has as many as may be holds up nobody else.

    The rule to keep: only a run that waits holds up others, so one that cannot go now waits no more (`leave`).
    """

    def __init__(self, limit: int, each: int = 0) -> None:
        self._limit, self._each = limit, each
        self._there: dict[str, str] = {}
        self._waiting: dict[str, _Place] = {}
        self._served: dict[str, int] = {}
        self._guard = threading.Lock()

    def take(self, order: RunOrder, *, there: bool = False) -> bool:
        """Whether the run may go onto the cluster now; one that is `there` already may stay."""
        run = order.run
        with self._guard:
            if run.id in self._there:
                return True
            self._waiting[run.id] = _Place(order.owner, run.priority, (run.created, run.id))
            if not there and self._next() != run.id:
                return False
            del self._waiting[run.id]
            self._there[run.id] = order.owner
            self._served[order.owner] = max(self._served.values(), default=0) + 1
            return True

    def count_in(self, run_id: str, owner: str) -> None:
        """A run is there that nobody has handed in since the start."""
        with self._guard:
            self._there.setdefault(run_id, owner)

    def leave(self, run_id: str) -> None:
        """The run is over, or waits no more."""
        with self._guard:
            self._there.pop(run_id, None)
            self._waiting.pop(run_id, None)

    @property
    def next(self) -> str:
        """The waiting run that may go now; "" if there is none."""
        with self._guard:
            return self._next()

    def why(self, owner: str) -> Text:
        """Why a run of that owner waits."""
        with self._guard:
            mine, all_of_them = self._of_owners()[owner], len(self._there)
        if self._each and mine >= self._each:
            return counted(
                "waits for its turn: %(owner)s has %(count)s run on the cluster, as many as one owner may have",
                "waits for its turn: %(owner)s has %(count)s runs on the cluster, as many as one owner may have",
                mine, owner=owner,
            )  # fmt: skip
        return counted(
            "waits for its turn: %(count)s other run is on the cluster, as many as may be",
            "waits for its turn: %(count)s other runs are on the cluster, as many as may be",
            all_of_them,
        )

    def _of_owners(self) -> Counter[str]:
        return Counter(self._there.values())

    def _next(self) -> str:
        if self._limit and len(self._there) >= self._limit:
            return ""
        many = self._of_owners()
        first: dict[str, str] = {}
        for run, place in self._waiting.items():
            if self._each and many[place.owner] >= self._each:
                continue
            if place.owner not in first or place.rank < self._waiting[first[place.owner]].rank:
                first[place.owner] = run

        def key(run: str) -> tuple[int, int, tuple[int, str]]:
            place = self._waiting[run]
            return many[place.owner], self._served.get(place.owner, 0), place.age

        return min(first.values(), key=key, default="")
