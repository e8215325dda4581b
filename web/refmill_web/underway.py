"""What running stages have measured by now, whichever engine runs them (`refmill.engine.live`)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice

from refmill.engine import live
from refmill.model.pipelines import OutputKind, Stage
from refmill.model.plans import Plan
from refmill.model.runs import Run, StageRun
from refmill_web.services import services

METRICS: frozenset[OutputKind] = frozenset({"metric"})
STAGES = 50
"""Running stages of one run that are looked into, once a second for each who follows it."""


def metrics(run: Run, plan: Plan, course: Iterable[StageRun]) -> dict[str, bytes]:
    """What the metrics files of running stages hold, by path from the project's root."""
    found: dict[str, bytes] = {}
    for stage, attempt in islice(_running(plan, course), STAGES):
        found |= live.read(services().settings.path("work"), run, stage, attempt, kinds=METRICS)
    return found


def figures(run: Run, plan: Plan, course: Iterable[StageRun], address: str) -> tuple[int, dict[str, bytes]]:
    """The attempt that runs of one stage, 0 if none does, and what its metrics and plots hold, by path."""
    for stage, attempt in _running(plan, course):
        if stage.address == address:
            return attempt, live.read(services().settings.path("work"), run, stage, attempt)
    return 0, {}


def mark(run: Run, plan: Plan, course: Iterable[StageRun]) -> str:
    """A word that is another one when `metrics` gives something else; "" if it gives nothing."""
    found = metrics(run, plan, course)
    digest = hashlib.sha256()
    for path, data in found.items():
        digest.update(b"%d %s %d " % (len(path), path.encode("utf-8", "replace"), len(data)) + data)
    return digest.hexdigest()[:16] if found else ""


def _running(plan: Plan, course: Iterable[StageRun]) -> Iterator[tuple[Stage, int]]:
    for state in course:
        stage = plan.pipeline.stages.get(state.address)
        if state.status == "running" and stage is not None:
            yield stage, state.attempt
