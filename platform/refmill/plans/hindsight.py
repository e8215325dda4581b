"""Why a stage ran or was cached, where its plan could not tell: its inputs were still to be made by others.

Once they are made, what was recorded before is compared with what is recorded now. Nothing is read from a store.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refmill.formats.hashing import FileHash
from refmill.model.pipelines import LockEntry, Pipeline, Stage
from refmill.model.plans import Reason, StagePlan
from refmill.model.runs import StageRun
from refmill.plans.changes import differences
from refmill.plans.decide import REMEMBERED, STANDS, UNRECORDED
from refmill.plans.inputs import Inputs
from refmill.texts import text

NOT_TAKEN_OVER = Reason("output", text("nothing it reads changed, but its recorded result could not be taken over"))
"""Objects were lost, or an environment counts as an input: which of them it was is not kept."""


def undecided(item: StagePlan) -> bool:
    """Whether the plan had to leave open what becomes of the stage."""
    return item.verdict == "later"


def reasons(
    item: StagePlan, pipeline: Pipeline, course: Mapping[str, StageRun], earlier: LockEntry | None = None
) -> tuple[Reason, ...]:
    """The reasons of a stage as they are known now, those of its plan as long as there are no others.

    `course` are the stages of the run by address; `earlier` is the stage's result in an earlier run, which counts
    where the committed dvc.lock has none.
    """
    stage = item.stage
    above = [course[address] for address in item.upstream if address in course]
    if not undecided(item) or any(other.entry is None for other in above):
        return item.reasons
    if asked := tuple(reason for reason in item.reasons if reason.kind == "forced"):
        return asked
    mine = course.get(stage.address)
    entry = mine.entry if mine is not None else None
    inputs = _inputs(stage, entry or item.entry, {} if entry else _made(pipeline, above))
    locked = pipeline.lock.get(stage.address)
    found = differences(stage, inputs, locked or earlier)
    if mine is not None and mine.status == "cached":
        return (*_noted(mine), *_taken_over(found, entry, locked))
    if found or inputs.unknown or mine is None or mine.status in ("pending", "queued"):
        return tuple(found) or item.reasons
    return (UNRECORDED if locked is None else NOT_TAKEN_OVER,)


def _inputs(stage: Stage, entry: LockEntry, made: Mapping[str, FileHash]) -> Inputs:
    """What a stage reads: as its entry has it, else as the stages above made it."""
    hashes = {item["path"]: FileHash.of(item) for item in entry.get("deps", ()) if item.get("md5")}
    deps = {item.root: hashes[item.path] for item in stage.deps if item.path in hashes}
    deps |= {item.root: made[item.root] for item in stage.deps if item.path not in hashes and item.root in made}
    values: Mapping[str, Mapping[str, Any]] = entry.get("params", {})
    params = {item.root: values[item.path] for item in stage.params if item.path in values}
    roots = [*(item.root for item in stage.deps), *(item.root for item in stage.params)]
    return Inputs(deps, params, unknown=tuple(root for root in roots if root not in deps and root not in params))


def _made(pipeline: Pipeline, above: list[StageRun]) -> dict[str, FileHash]:
    """What the stages above recorded, by path from the root."""
    made: dict[str, FileHash] = {}
    for other in above:
        recorded = {out["path"]: out for out in (other.entry or {}).get("outs", ()) if out.get("md5")}
        outs = pipeline.stages[other.address].outs
        made |= {out.root: FileHash.of(recorded[out.path]) for out in outs if out.path in recorded}
    return made


def _taken_over(found: list[Reason], entry: LockEntry | None, locked: LockEntry | None) -> list[Reason]:
    if locked is not None and locked == entry:
        return [STANDS]
    return [REMEMBERED, *(reason for reason in found if reason.kind != "new")]


def _noted(mine: StageRun) -> list[Reason]:
    """What was found of the environment when it was taken over."""
    return [] if mine.explanation is None else [Reason("environment", mine.explanation)]
