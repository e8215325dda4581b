"""Runs that pods ask about: their plan.json, what is known of their results, and how their stages stand.

Reading a plan takes longer than answering a pod, so those asked of lately are kept. The rule to keep: what is kept is
only what never changes (plan.json, the plan) or grows (results); where stages stand is read for each request.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refmill import errors
from refmill.engine.progress import BADLY, WELL
from refmill.model.plans import StagePlan
from refmill.model.runs import Run, StageRun
from refmill.plans.decide import Memory
from refmill.plans.knowledge import Knowledge
from refmill.ports.records import Runs
from refmill.texts import Text, text
from refmill_argo import papers

KEPT = 64
"""Runs that are kept: a plan of thousands of stages takes some megabytes."""


@dataclass(frozen=True, slots=True)
class Ongoing:
    """A run under way: plan.json, and what is known."""

    document: Mapping[str, Any]
    known: Knowledge
    items: Mapping[str, StagePlan]

    def said(self, pod: int, index: int) -> Mapping[str, Any]:
        """What plan.json says of a stage. Raises NotFound."""
        stages = self.pod(pod)
        if not 0 <= index < len(stages):
            raise errors.NotFound(text("this run's pod %(pod)s has no such stage", pod=pod))
        found: Mapping[str, Any] = stages[index]
        return found

    def pod(self, pod: int) -> list[Any]:
        """The stages of a pod. Raises NotFound."""
        pods: list[list[Any]] = self.document["pods"]
        if not 1 <= pod <= len(pods):
            raise errors.NotFound(text("this run has no such pod"))
        return pods[pod - 1]

    def closed(self, stages: Mapping[str, StageRun]) -> Text | None:
        """Why no stage begins any more, whatever it needs; None if some may."""
        if self.document.get("on_error") != "continue":
            for address, item in self.items.items():
                stage = stages[address]
                planned = stage.status == item.verdict == "blocked"  # which the engine says nothing of before its turn
                if stage.status in BADLY and not stage.asks and not planned:
                    return text("%(address)s did not succeed", address=address)
        return None

    def hopeless(self, address: str, stages: Mapping[str, StageRun]) -> Text | None:
        """Why a stage will never begin because of one that it needs; None if it may."""
        pending, seen = self.needs(address), {address}
        while pending:
            above = pending.pop()
            stage = stages[above]
            if stage.status not in ("pending", "queued", "running", *WELL) and not stage.asks:
                return text("%(address)s did not succeed", address=above)
            if above not in seen and stage.status not in WELL:
                pending += self.needs(above)
            seen.add(above)
        return None

    def waits(self, address: str, stages: Mapping[str, StageRun]) -> str:
        """A stage whose result is still to come and that this one needs; "" if there is none."""
        return next((above for above in self.needs(address) if stages[above].status not in WELL), "")

    def needs(self, address: str) -> list[str]:
        """The stages of the run that it needs."""
        return [above for above in self.items[address].upstream if above in self.items]


class Runners:
    """Gives runs that pods ask about. `memory` gives what is remembered in a run's repository."""

    def __init__(self, work: Path, runs: Runs, memory: Callable[[Run], Memory]) -> None:
        self._work, self._runs, self._memory = work, runs, memory
        self._kept: OrderedDict[str, Ongoing] = OrderedDict()
        self._guard = threading.Lock()

    def open(self, run: Run) -> Ongoing:
        """The run. Raises NotFound where it has no plan.json: it was not submitted here, or is over."""
        with self._guard:
            found = self._kept.get(run.id)
            if found is not None:
                self._kept.move_to_end(run.id)
                return found
        document = papers.read_plan(self._work, run.id)
        if document is None:
            raise errors.NotFound(text("this run has no pods here"))
        plan = self._runs.plan(run.id)
        known = Knowledge(
            plan, self._memory(run), today=document.get("environments") or {},
            counts=bool(document.get("rerun_on_environment_change")),
        )  # fmt: skip
        made = Ongoing(document, known, {item.stage.address: item for item in plan.stages})
        with self._guard:
            self._kept[run.id] = made
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return made

    def stages(self, run: Run, ongoing: Ongoing) -> dict[str, StageRun]:
        """How the run's stages stand, by address; what they made is known from here on."""
        found = {stage.address: stage for stage in self._runs.stages(run.id)}
        for address, item in ongoing.items.items():
            stage = found.setdefault(address, StageRun(address, "pending"))
            entry = stage.entry if stage.status in WELL else None
            if entry is not None and ongoing.known.entries.get(address) != entry:
                ongoing.known.learn(item.stage.address, entry)
        return found
