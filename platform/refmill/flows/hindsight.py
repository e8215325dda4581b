"""Why the stages of a run ran or were cached, as far as that is known by now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from refmill.model.pipelines import LockEntry
from refmill.model.plans import Plan, Reason, StagePlan
from refmill.model.runs import Run, StageRun
from refmill.plans import hindsight
from refmill.ports.records import Runs


def reasons(
    runs: Runs, run: Run, plan: Plan, course: Mapping[str, StageRun], items: Iterable[StagePlan] | None = None
) -> dict[str, tuple[Reason, ...]]:
    """The reasons of the stages of `plan`, or of some of its `items`, by address; `course` are the run's stages."""
    wanted = tuple(plan.stages if items is None else items)
    lock = plan.pipeline.lock
    open_ones = any(hindsight.undecided(item) and item.stage.address not in lock for item in wanted)
    before = results_before(runs, run.repository_id, run.project, run.created) if open_ones else {}
    return {
        item.stage.address: hindsight.reasons(item, plan.pipeline, course, before.get(item.stage.address))
        for item in wanted
    }


def results_before(runs: Runs, repository_id: str, project: str, moment: int | None = None) -> dict[str, LockEntry]:
    """The results of the newest run of a project that succeeded, of those made before `moment` (UTC microseconds), by
    address: what reasons compare with where no dvc.lock is committed."""
    for run in runs.list([repository_id], statuses=("succeeded",), limit=1, project=project, before=moment):
        return {stage.address: stage.entry for stage in runs.stages(run.id) if stage.entry}
    return {}
