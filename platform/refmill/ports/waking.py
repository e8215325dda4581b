"""A hint that something changed. Only a hint: whoever waits looks into the records, and looks again after a while."""

from __future__ import annotations

from typing import Protocol


class Bell(Protocol):
    """Rings in every process of the installation."""

    def ring(self, topic: str) -> None:
        """Tell all waiters: `events`, `wishes`, `event:<id>`, `run:<id>`."""

    def wait(self, topics: frozenset[str], timeout: float) -> bool:
        """Until one of `topics` rings (True) or `timeout` seconds have passed (False)."""
