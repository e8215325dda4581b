"""`refmill run`: a parallel `dvc repro` in a working copy, without any server."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import click

from refmill import errors
from refmill.clients import git_staging
from refmill.engine import inplace_data
from refmill.engine.dvclocks import DvcLocks
from refmill.engine.inplace import InPlace, Place
from refmill.flows.answers import nothing_to_run
from refmill.model.pipelines import LockEntry, Pipeline
from refmill.model.plans import Plan
from refmill.plans import make
from refmill.plans.decide import Memory
from refmill.ports.objects import RunCache
from refmill.texts import counted, text
from refmill_web import local
from refmill_web.cli import pull, runboard, runreport, targets
from refmill_web.cli.moments import duration
from refmill_web.cli.options import example, json_option
from refmill_web.cli.project import show_plan, stage_json
from refmill_web.cli.runoptions import Wishes, run_options
from refmill_web.cli.speech import print_json, show_problems, tell
from refmill_web.words import STATES


@click.command(
    **example(
        text("Run a project's stages here, in parallel, without a server."),
        "refmill run",
        "refmill run train -j 4 -S train.lr=0.1",
        "refmill run --downstream prepare --dry",
    )
)
@run_options
@json_option
def run(*, as_json: bool, **options: Any) -> None:
    """Exit code 1 if a stage failed, 3 if the files cannot work."""
    wishes = Wishes(**options)
    project = local.open_project(wishes.directory)
    if wishes.set_param:
        project = _with_params(project, wishes)
    show_problems(problem for problem in project.problems if problem.warning)
    named = targets.named(project.pipeline, project.root, wishes.directory, wishes.stages)
    wanted = _reach(project.pipeline, named, wishes)
    if wishes.pull:
        pull.fetch(project.root, project.pipeline, project.memory, wanted)
    locks = DvcLocks(project.root)
    with locks.held():
        work = _planned(project, wishes, wanted, frozenset(wanted if wishes.force else ()))
    if wishes.dry:
        _show_dry(work.plan, as_json=as_json)
    else:
        _carry_out(project, wishes, work, locks, as_json=as_json)


def _with_params(project: local.Project, wishes: Wishes) -> local.Project:
    """The project with its parameters changed: on disk, but with `--dry` only for this look."""
    if wishes.dry:
        return local.open_with_params(project, wishes.set_param)
    from refmill.clients.dvc_overrides import set_params  # noqa: PLC0415 - Hydra starts slowly

    with DvcLocks(project.root).held():
        set_params(project.root, wishes.set_param)
    return local.open_project(wishes.directory)


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done, with all that is known to do it; `written` are files that have been changed for it."""

    plan: Plan
    memory: Memory
    forced: frozenset[str]
    known: Mapping[str, LockEntry]
    written: tuple[str, ...] = ()


def _planned(project: local.Project, wishes: Wishes, wanted: set[str], forced: frozenset[str]) -> Work:
    """What is to be done; data tracked by .dvc files are looked at as they lie here."""
    pipeline, memory = project.pipeline, project.memory
    needed = inplace_data.needed(pipeline, wanted)
    data = inplace_data.DataSources(project.root, project.hashes, memory.objects, project.ignores)
    pipeline = data.seen(pipeline, needed) if wishes.dry else data.settled(pipeline, needed)
    memory = replace(memory, objects=data.objects)
    if wishes.no_run_cache:
        memory = replace(memory, runcache=_Forgetful(memory.runcache))
    known = data.beside(pipeline, wanted)
    plan = make.make(pipeline, memory, only=wanted, force=forced, known=known)
    return Work(plan, memory, forced, known, tuple(data.written))


def _reach(pipeline: Pipeline, named: set[str], wishes: Wishes) -> set[str]:
    if (wishes.single_item or wishes.downstream) and not named:
        raise errors.WrongUse(
            text("name the stages that are meant"), text("For example: refmill run --downstream train")
        )
    if wishes.single_item:
        return named
    if wishes.downstream:
        return targets.below(pipeline, named)
    return targets.above(pipeline, named) if named else set(pipeline.stages)


class _Forgetful:
    """A run-cache that answers nothing and still learns."""

    def __init__(self, runcache: RunCache) -> None:
        self._runcache = runcache

    def load(self, key: str) -> LockEntry | None:
        return None

    def save(self, key: str, value: str, entry: LockEntry) -> None:
        self._runcache.save(key, value, entry)


def _show_dry(plan: Plan, *, as_json: bool) -> None:
    if as_json:
        print_json({"nothing": plan.nothing, "stages": [stage_json(item) for item in plan.stages]})
    else:
        show_plan(plan)


def _carry_out(project: local.Project, wishes: Wishes, work: Work, locks: DvcLocks, *, as_json: bool) -> None:
    plan, jobs = work.plan, wishes.jobs or os.cpu_count() or 1
    durations = project.durations
    board = runboard.Board(plan, durations.load() if durations else {}, jobs)
    display = runreport.display(board, as_json=as_json)
    report = runreport.Report(board, display, quiet=as_json, verbose=wishes.verbose)
    started = time.monotonic()
    place = Place(project.root, work.memory, project.cache.links, project.hashes)
    engine = InPlace(
        plan, place, report, jobs=jobs, keep_going=wishes.keep_going, force=work.forced, known=work.known, locks=locks
    )
    try:
        with display:
            outcome = engine.run()
            unchanged = all(status == "cached" for status in board.last.values())
            idle = bool(plan.stages) and unchanged and not engine.put_back
            if not idle and not as_json:
                report.close()
    finally:
        project.save()
        if durations:
            durations.note(engine.seconds)
    if as_json:
        print_json({"status": outcome, "stages": board.last})
    elif idle:
        tell(nothing_to_run(plan))
    elif unchanged and engine.put_back:
        tell(
            counted(
                "nothing to run: the outputs of %(count)s stage are put back from the cache",
                "nothing to run: the outputs of %(count)s stages are put back from the cache",
                engine.put_back,
            )
        )
    else:
        tell(text("%(status)s in %(took)s", status=STATES[outcome], took=duration(time.monotonic() - started)))
    if outcome != "succeeded":
        sys.exit(1)
    if project.cache.autostage:
        git_staging.stage(project.root, {*work.written, *engine.written})
