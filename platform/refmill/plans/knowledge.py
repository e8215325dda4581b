"""What is known of a run while it goes on: the results so far, what stages below them read, and so their verdicts.

Whoever carries out a run, this engine or a pod far away, asks here. A tree of git is for one thread at a time, so
looks take turns; learning waits for nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from refmill.formats.hashing import FileHash
from refmill.model.pipelines import LockEntry, Output, by_path
from refmill.model.plans import Plan, StagePlan
from refmill.plans import environments
from refmill.plans.decide import Memory, decide
from refmill.plans.inputs import Inputs, Sources
from refmill.ports.objects import Objects


class Knowledge:
    """Of one run. `today` are the digests of its stages' environments by address; where `counts`, they are inputs.

    `entries` are lock entries of finished stages by address, `materials` the outs that those and .dvc files record, by
    path from the root.
    """

    def __init__(self, plan: Plan, memory: Memory, *, today: Mapping[str, str], counts: bool) -> None:
        self.plan, self.memory = plan, memory
        self.entries: dict[str, LockEntry] = {}
        self.materials: dict[str, Mapping[str, Any]] = {}
        self._today, self._counts = today, counts
        self._sources = Sources(plan.pipeline, memory.tree, memory.objects, around=memory.around)
        self._turn = threading.Lock()
        for data in plan.pipeline.data.values():
            for out in data.outs:
                self.materials[out.root] = {"md5": out.md5, "isexec": out.isexec}
        for item in plan.stages:
            if item.verdict == "cached":
                self.learn(item.stage.address, item.entry)

    def learn(self, address: str, entry: LockEntry) -> None:
        """A stage's result is known: those below it can be looked at."""
        self.entries[address] = entry
        stage = self.plan.pipeline.stages[address]
        self._sources.learn(stage, entry)
        recorded = by_path(entry)
        self.materials.update({out.root: recorded[out.path] for out in stage.outs if out.path in recorded})

    def look(self, item: StagePlan) -> tuple[StagePlan, Inputs]:
        """The verdict on a stage all of whose inputs have been made. What the planner said *run* of stays so."""
        address = item.stage.address
        with self._turn:
            inputs = self._sources.inputs(item.stage)
            if item.verdict == "run" and not inputs.unknown:
                return item, inputs
            forced = any(reason.kind == "forced" for reason in item.reasons)
            locked = self.plan.pipeline.lock.get(address)
            today = self._today.get(address, "")
            found = decide(
                item.stage, inputs, locked, self.memory, upstream=item.upstream, force=forced,
                environment=today if self._counts else "",
            )  # fmt: skip
            if found.verdict == "cached" and not self._counts:
                found = environments.noted(found, self.memory.made(found.entry), today)
            return found, inputs


def wanted(inputs: Inputs, materials: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The inputs that come from the store, by path from the root; git's own files are in the checkout already."""
    found: dict[str, Mapping[str, Any]] = {}
    for item in inputs.objects:
        found.setdefault(item.path, {**materials.get(item.path, {}), "hash": "md5", "md5": item.md5})
    return found


def previous(locked: LockEntry | None, out: Output, objects: Objects) -> Mapping[str, Any] | None:
    """What an output that persists holds before its stage runs: the one that was recorded last, if it is there."""
    item = by_path(locked).get(out.path)
    return item if item is not None and objects.present([FileHash.of(item).md5]) else None
