"""How far a run has come: which stages may start, which never will, and when it is over. Pure.

The rule to keep: a stage starts only when every stage above it ended well; after a failure nothing new starts
(`on_error: stop`) or only what does not depend on it (`continue`, as `dvc repro --keep-going`). A stage that was
stopped says that the run is being stopped, also to a successor that has not heard the wish yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

from refmill.model.plans import Plan
from refmill.model.runs import StageStatus

WELL: frozenset[StageStatus] = frozenset({"cached", "succeeded"})
BADLY: frozenset[StageStatus] = frozenset({"failed", "blocked"})
OVER: frozenset[StageStatus] = WELL | BADLY | {"skipped", "stopped"}
Outcome: TypeAlias = Literal["succeeded", "failed", "stopped"]


class Progress:
    """The stages of one run with their states. `done` are those that ended before."""

    def __init__(
        self, plan: Plan, done: Mapping[str, StageStatus], *, on_error: Literal["stop", "continue"] = "stop"
    ) -> None:
        known = {item.stage.address for item in plan.stages}
        self._upstream = {item.stage.address: known.intersection(item.upstream) for item in plan.stages}
        self._below: dict[str, list[str]] = {address: [] for address in known}
        for address, above in self._upstream.items():
            for other in above:
                self._below[other].append(address)
        self._order = {item.stage.address: index for index, item in enumerate(plan.stages)}
        self._status: dict[str, StageStatus] = {address: done.get(address, "pending") for address in self._order}
        self._counts = Counter(self._status.values())
        self._on_error = on_error
        self.stopping = "stopped" in self._status.values()

    def __getitem__(self, address: str) -> StageStatus:
        return self._status[address]

    def __contains__(self, address: object) -> bool:
        return address in self._status

    def set(self, address: str, status: StageStatus) -> None:
        """Note a stage's state."""
        self._counts[self._status[address]] -= 1
        self._counts[status] += 1
        self._status[address] = status
        self.stopping = self.stopping or status == "stopped"

    def ready(self) -> list[str]:
        """Pending stages that may start now, in the plan's order."""
        if self.closed:
            return []
        return [address for address in self._order if self._status[address] == "pending" and self._clear(address)]

    def freed(self, address: str) -> list[str]:
        """The stages right below `address` that may start now that it ended."""
        if self.closed:
            return []
        return [
            below for below in sorted(self._below[address], key=self._order.__getitem__)
            if self._status[below] == "pending" and self._clear(below)
        ]  # fmt: skip

    @property
    def closed(self) -> bool:
        """Whether no new stage starts any more."""
        return self.stopping or (self._on_error == "stop" and self._any(BADLY))

    def hopeless(self) -> list[tuple[str, str]]:
        """Pending or queued stages that will never start, each with the stage to blame ("" if the run was stopped)."""
        if not (self.stopping or self._any(BADLY)):
            return []  # asked after each stage: nobody looks at thousands for nothing
        waiting = [address for address in self._order if self._status[address] in ("pending", "queued")]
        if self.stopping:
            return [(address, "") for address in waiting]
        bad = [address for address in self._order if self._status[address] in BADLY]
        if bad and self._on_error == "stop":
            return [(address, bad[0]) for address in waiting]
        blame = {address: address for address in bad}
        queue = list(bad)
        while queue:
            above = queue.pop()
            for below in self._below[above]:
                if below not in blame:
                    blame[below] = blame[above]
                    queue.append(below)
        return [(address, blame[address]) for address in waiting if address in blame]

    @property
    def over(self) -> bool:
        """Whether every stage has ended."""
        return self._all(OVER)

    @property
    def outcome(self) -> Outcome:
        """What the run as a whole came to; only telling once it is over."""
        if self.stopping and not self._all(WELL):
            return "stopped"
        return "succeeded" if self._all(WELL) else "failed"

    def named(self, statuses: Iterable[StageStatus]) -> list[str]:
        """The stages in one of `statuses`, in the plan's order."""
        wanted = frozenset(statuses)
        return [address for address in self._order if self._status[address] in wanted]

    def _clear(self, address: str) -> bool:
        return all(self._status[above] in WELL for above in self._upstream[address])

    def _any(self, statuses: frozenset[StageStatus]) -> bool:
        return any(self._counts[status] for status in statuses)

    def _all(self, statuses: frozenset[StageStatus]) -> bool:
        return sum(self._counts[status] for status in statuses) == len(self._status)
