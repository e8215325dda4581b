"""Where `refmill run` stands: what its lines and its table show."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from statistics import fmean

from refmill.model.plans import Plan
from refmill.model.runs import StageStatus
from refmill.plans import estimate
from refmill_web.cli.speech import shown_width

MARKS: dict[str, tuple[str, str | None]] = {
    "running": ("◔", "blue"), "succeeded": ("✓", "green"), "cached": ("⚡", "cyan"), "failed": ("✗", "red"),
    "blocked": ("✗", "red"), "skipped": ("–", None), "stopped": ("■", "yellow"),
}  # fmt: skip


class Board:
    """Where a run stands: what the lines and the table show; `width` is that of its longest name. Safe for several
    threads.

    The rule to keep: whoever holds `lock` calls no display. A table is drawn with the display's own lock held, and asks
    here meanwhile: two threads that take the two in turn wait for each other for ever.
    """

    def __init__(self, plan: Plan, before: Mapping[str, float], jobs: int) -> None:
        self._plan, self._before, self._jobs = plan, dict(before), jobs
        self._groups = {item.stage.address: (item.stage.file, item.stage.group) for item in plan.stages}
        self.width = max((shown_width(item.stage.address) for item in plan.stages), default=0)
        self.lock = threading.RLock()
        self.last: dict[str, str] = {}
        self.began: dict[str, float] = {}
        self.printed: dict[str, str] = {}

    def note(self, address: str, status: StageStatus, seconds: float | None = None) -> None:
        """A stage changed its state; `seconds` is what it took."""
        with self.lock:
            self.last[address] = status
            if status == "succeeded" and seconds is not None:
                self._before[address] = seconds
            if status == "running":
                self.began[address] = time.monotonic()
            else:
                self.began.pop(address, None)
                self.printed.pop(address, None)

    def said(self, address: str, line: str) -> None:
        """A command printed a line."""
        with self.lock:
            self.printed[address] = line

    def counts(self) -> Counter[str]:
        """How many stages stand at each state; "pending" are those that have not begun."""
        with self.lock:
            found = Counter(self.last.values())
        found["pending"] = len(self._plan.stages) - sum(found.values())
        return found

    def left(self) -> estimate.Estimate:
        """When it will be over, as far as earlier runs tell; of a stage that never ran here its siblings of the same
        foreach or matrix do. Stages that the plan has as cached take no time."""
        with self.lock:
            waiting = [item.stage.address for item in self._plan.stages if item.stage.address not in self.last]
            running = {address: time.monotonic() - began for address, began in self.began.items()}
        upstream = {item.stage.address: item.upstream for item in self._plan.stages}
        known = {item.stage.address: 0.0 for item in self._plan.stages if item.verdict == "cached"}
        return estimate.remaining(waiting, running, upstream, {**self._seconds(), **known}, self._jobs)

    def _seconds(self) -> dict[str, float]:
        with self.lock:
            before = dict(self._before)
        siblings: dict[tuple[str, str], list[float]] = {}
        for address, group in self._groups.items():
            if address in before:
                siblings.setdefault(group, []).append(before[address])
        guessed = {address: fmean(siblings[group]) for address, group in self._groups.items() if group in siblings}
        return {**guessed, **before}
