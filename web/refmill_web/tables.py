"""The tables below a run's graph: metrics, parameters, outputs, lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from refmill import errors
from refmill.model.runs import Run
from refmill_web.experimenttable import commands
from refmill_web.reports import RunReport
from refmill_web.services import services
from refmill_web.shell import git_address
from refmill_web.values import Block, Change, blocks, compare, metrics, outputs, parameters

LOCK_LIMIT = 512 << 10


@dataclass(frozen=True, slots=True)
class Output:
    """A finished output of a run."""

    path: str
    stage: str
    md5: str
    size: int | None
    nfiles: int | None
    cache: bool
    kind: str


@dataclass(frozen=True, slots=True)
class Tables:
    """What came out of a run by now. `lock` is the dvc.lock of its experiment, "" while there is none. `gone` is what
    git had once and has no longer: the run's experiment, or its commit. `commands` bring the experiment
    into a clone."""

    metrics: tuple[Block, ...]
    parameters: tuple[Change, ...]
    outputs: tuple[Output, ...]
    lock: str
    gone: Literal["", "experiment", "commit"]
    commands: str


def experiment_ref(run: Run) -> str | None:
    """The full ref of a run's experiment, as `dvc exp` names them: refs/exps/<2>/<38>/<name>."""
    return f"refs/exps/{run.commit[:2]}/{run.commit[2:]}/{run.experiment}" if run.experiment else None


def tables(whole: RunReport, previous: Run | None) -> Tables:
    """The tables of a run; metrics and parameters beside those of `previous`, changed parameters first."""
    course = list(whole.course.values())
    before: tuple[Mapping[tuple[str, str], Any] | None, Mapping[tuple[str, str], Any] | None] = (None, None)
    if previous is not None:
        plan, stages = services().runs.plan(previous.id), services().runs.stages(previous.id)
        before = (metrics(previous, plan, stages), parameters(plan, stages))
    params = compare(parameters(whole.plan, course), before[1])
    params.sort(key=lambda row: not row.changed)
    found = [
        Output(
            path,
            item["stage"],
            str(item.get("md5", "")),
            item.get("size"),
            item.get("nfiles"),
            item["cache"],
            item["kind"],
        )
        for path, item in outputs(whole.plan, course).items()
    ]
    measured = compare(metrics(whole.run, whole.plan, course), before[0])
    gone = _gone(whole.run)
    lines = "" if gone else _commands(whole.run)
    return Tables(blocks(measured), tuple(params), tuple(found), _lock(whole), gone, lines)


def _commands(run: Run) -> str:
    if not run.experiment:
        return ""
    return commands(run.experiment, git_address(services().catalogue.get(run.repository_id)), run.project)


def _gone(run: Run) -> Literal["", "experiment", "commit"]:
    if not _there(run, run.commit):
        return "commit"
    ref = experiment_ref(run)
    return "" if ref is None or _there(run, ref) else "experiment"


def _there(run: Run, revision: str) -> bool:
    try:
        services().refs.commit(run.repository_id, revision)
    except errors.NotFound:
        return False
    return True


def _lock(whole: RunReport) -> str:
    ref = experiment_ref(whole.run)
    if ref is None:
        return ""
    run = whole.run
    try:
        commit = services().refs.commit(run.repository_id, ref)
        tree = services().repositories.tree(run.repository_id, commit.sha, project=run.project)
        return tree.read("dvc.lock", LOCK_LIMIT).decode("utf-8", "replace")
    except (errors.NotFound, errors.LimitExceeded):
        return ""
