"""`refmill runs` and `logs`: what ran, and what it printed; they read the data directory."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from refmill import errors
from refmill.clients.database import Records
from refmill.flows.planning import EVERYWHERE
from refmill.model.runs import RUN_ENDED, STAGE_ENDED, Run, RunStatus, StageRun, StageStatus
from refmill.specs import alike
from refmill.texts import Text, text
from refmill_web import places
from refmill_web.cli.moments import between, duration, minute, rfc3339
from refmill_web.cli.names import find_repository, find_run
from refmill_web.cli.options import data_option, example, exit_status_option, json_option, load
from refmill_web.cli.speech import cut, echo, print_json, say, table, tell
from refmill_web.words import STATES

COLOURS = {
    "succeeded": "green",
    "cached": "cyan",
    "running": "blue",
    "failed": "red",
    "stopped": "yellow",
    "paused": "magenta",
    "superseded": "yellow",
}
ENDED_BADLY: frozenset[RunStatus] = frozenset({"failed", "stopped", "superseded"})
BADLY: frozenset[StageStatus] = frozenset({"failed", "skipped", "stopped", "blocked"})
FOLLOW_SECONDS = 0.25


def branch(run: Run) -> str:
    """The branch as people call it; a tag's whole ref."""
    return run.ref.removeprefix("refs/heads/")


@dataclass(frozen=True, slots=True)
class Column:
    """One of the table of runs; one that is not `always` there is left out where it would be empty."""

    heading: Text
    of: Callable[[Run], str]
    always: bool = True


COLUMNS = (
    Column(text("run"), lambda run: run.name),
    Column(text("project"), lambda run: run.project, always=False),
    Column(text("status"), lambda run: say(STATES[run.status])),
    Column(text("branch"), branch),
    Column(text("commit"), lambda run: run.commit[:7]),
    Column(text("attempt"), lambda run: str(run.attempt) if run.attempt > 1 else "", always=False),
    Column(text("parameters"), lambda run: shlex.join(run.words), always=False),
    Column(text("when"), lambda run: minute(run.created)),
    Column(text("took"), lambda run: duration(between(run.started, run.finished))),
    Column(text("subject"), lambda run: cut(run.subject, 50)),
)


def run_json(records: Records, run: Run) -> dict[str, Any]:
    """A run as `runs --json` and `show --json` give it."""
    return {
        "id": run.id, "repository": run.repository, "number": run.number, "project": run.project, "ref": run.ref,
        "commit": run.commit, "status": run.status, "subject": run.subject, "created": rfc3339(run.created),
        "created_by": run.created_by, "started": rfc3339(run.started), "finished": rfc3339(run.finished),
        "attempt": run.attempt, "parameters": list(run.words), "experiment": run.experiment,
        "explanation": str(run.explanation) if run.explanation else None,
        "stages": [_stage_json(stage) for stage in records.runs.stages(run.id)],
    }  # fmt: skip


def _stage_json(stage: StageRun) -> dict[str, Any]:
    return {
        "name": stage.address, "status": stage.status, "attempt": stage.attempt, "started": rfc3339(stage.started),
        "finished": rfc3339(stage.finished), "seconds": stage.seconds, "exit_code": stage.exit_code,
        "explanation": str(stage.explanation) if stage.explanation else None,
    }  # fmt: skip


@click.command(**example(text("List runs, newest first."), "refmill runs alice/churn", "refmill runs --json"))
@click.argument("repository", required=False, metavar="[OWNER/NAME]")
@click.option("--limit", type=click.IntRange(min=1), default=30, show_default=True, help=say(text("How many.")))
@data_option
@json_option
def runs(*, repository: str | None, limit: int, data: Path | None, as_json: bool) -> None:
    """A table, or JSON."""
    records = places.records(load(data))
    wanted = [find_repository(records, repository)] if repository else records.catalogue.visible(EVERYWHERE)
    found = records.runs.list([item.id for item in wanted], limit=limit)
    if as_json:
        print_json([run_json(records, run) for run in found])
        return
    if not found:
        tell(text("No runs yet. A push starts one."), err=True)
        return
    columns = [column for column in COLUMNS if column.always or any(column.of(run) for run in found)]
    table([say(column.heading) for column in columns], [[column.of(run) for column in columns] for run in found])


@click.command(
    **example(
        text("Print what a run's stages printed; -f follows."),
        "refmill logs alice/churn#42 train@rf -f",
        "refmill logs alice/churn#42 -f --exit-status",
    )
)
@click.argument("run", metavar="RUN")
@click.argument("stage", required=False)
@click.option("-f", "--follow", is_flag=True, help=say(text("Go on until the run has ended.")))
@exit_status_option(text("Exit code 1 if the run, or the named stage, failed or was stopped."))
@data_option
@json_option
def logs(*, run: str, stage: str | None, follow: bool, exit_status: bool, data: Path | None, as_json: bool) -> None:
    """One stage's log, or all of them with the stage's name before each line."""
    settings = load(data)
    records, reader = places.records(settings), places.logs(settings)
    found = find_run(records, run)
    _refuse_unknown(stage, records.runs.stages(found.id))
    at: dict[tuple[str, int], int] = {}
    while True:
        found = records.runs.get(found.id)
        stages = records.runs.stages(found.id)
        for item in stages:
            if stage in (None, item.address) and item.status not in ("pending", "blocked", "queued", "cached"):
                key = (item.address, item.attempt)
                at[key] = _print(reader, found, item, at.get(key, 1), named=stage is None, as_json=as_json)
        mine = [item.status for item in stages if item.address == stage]
        over = found.status in RUN_ENDED or (stage and all(status in STAGE_ENDED for status in mine))
        if not follow or over:
            if not any(start > 1 for start in at.values()) and not as_json:
                _tell_silence(stages, stage)
            if exit_status and (BADLY.intersection(mine) if stage else found.status in ENDED_BADLY):
                sys.exit(1)
            return
        time.sleep(FOLLOW_SECONDS)


def _refuse_unknown(stage: str | None, stages: Sequence[StageRun]) -> None:
    """Raise WrongUse if the run has no such stage."""
    names = [item.address for item in stages]
    if stage is not None and stage not in names:
        raise errors.WrongUse(
            text("this run has no stage “%(name)s”", name=stage), alike(stage, names, text("This run has no stages."))
        )


def _tell_silence(stages: Sequence[StageRun], stage: str | None) -> None:
    """Why there is nothing to print: to whom it may be of use, not among the output."""
    for item in stages:
        if stage in (None, item.address):
            why = say(item.explanation) if item.explanation else say(text("it printed nothing"))
            words = say(text("from the cache")) if item.status == "cached" else why
            echo(f"{click.style(item.address, fg='cyan')}  {say(STATES[item.status])}: {words}", err=True)


def _print(reader: Any, run: Run, stage: StageRun, start: int, *, named: bool, as_json: bool) -> int:
    """Print new lines of one stage; gives the number to go on with."""
    while True:
        page = reader.read(run, stage.address, stage.attempt, start=start, limit=1000)
        for line in page.lines:
            if as_json:
                print_json({"stage": stage.address, "number": line.number, "time": rfc3339(line.time),
                            "stream": line.stream, "text": line.text})  # fmt: skip
            else:
                echo(f"{click.style(stage.address, fg='cyan')}  {line.text}" if named else line.text)
        start = page.next
        if not page.lines:
            return int(start)
