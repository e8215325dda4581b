"""A hint that something changed. Only a hint: whoever waits looks into the records, and looks again after a while."""

from __future__ import annotations

from typing import Protocol


class Bell(Protocol):
    """Rings in every process of the installation."""

    def ring(self, topic: str) -> None:
        """Tell all waiters: `events`, `wishes`, `event:<id>`, `run:<id>`, `pods:<run>`."""

    def wait(self, topics: frozenset[str], timeout: float) -> frozenset[str]:
        """Until one of `topics` rings or `timeout` seconds have passed. Gives those that rang."""
