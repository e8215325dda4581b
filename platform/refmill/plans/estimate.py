"""When a run will be over: its stages put on workers as the engine does, with the times they took before. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds until the end. `unknown` stages have never run here: the end comes later by what they take."""

    seconds: float
    unknown: int = 0


def remaining(
    waiting: Iterable[str], running: Mapping[str, float], upstream: Mapping[str, Iterable[str]],
    before: Mapping[str, float], jobs: int,
) -> Estimate:  # fmt: skip
    """From now on, with `waiting` stages in their order, the `running` ones (seconds since they began), who needs whom,
    the seconds they took `before`, and `jobs` at a time. A stage that runs longer than before may end at any moment."""
    order = list(waiting)
    unknown = sum(address not in before for address in (*order, *running))
    ends = [(max(before.get(address, 0.0) - since, 0.0), address) for address, since in running.items()]
    heapq.heapify(ends)
    todo = set(order)
    pending = {address: {above for above in upstream.get(address, ()) if above in todo or above in running}
               for address in order}  # fmt: skip
    below: dict[str, list[str]] = {}
    for address, above in pending.items():
        for other in above:
            below.setdefault(other, []).append(address)
    ready = [address for address in order if not pending[address]]
    now = 0.0
    while ready or ends:
        while ready and len(ends) < jobs:
            address = ready.pop(0)
            heapq.heappush(ends, (now + before.get(address, 0.0), address))
        now, ended = heapq.heappop(ends)
        for address in below.get(ended, ()):
            pending[address].discard(ended)
            if not pending[address]:
                ready.append(address)
    return Estimate(now, unknown)
