"""In which order pushes are settled where there are many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from refmill.model.pushes import Event


def in_turns(events: Iterable[Event]) -> Sequence[Event]:
    """One of each repository, then the next of each: who pushes thousands of branches keeps nobody else waiting. Those
    of one repository stay in their order."""
    counts: Counter[str] = Counter()
    places: list[tuple[int, int, Event]] = []
    for event in events:
        places.append((counts[event.repository_id], event.id, event))
        counts[event.repository_id] += 1
    return [event for *_, event in sorted(places, key=lambda place: place[:2])]
