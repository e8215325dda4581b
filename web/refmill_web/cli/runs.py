"""`refmill runs`, `show` and `logs`: what ran, why, and what it printed; they read the data directory."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from refmill import errors
from refmill.clients.database import Records
from refmill.flows.planning import EVERYWHERE
from refmill.model.runs import RUN_ENDED, STAGE_ENDED, Run, StageRun
from refmill.texts import text
from refmill_web import places
from refmill_web.cli.moments import between, duration, rfc3339
from refmill_web.cli.names import find_repository, find_run
from refmill_web.cli.options import data_option, example, json_option, load
from refmill_web.cli.speech import print_json, say, table

COLOURS = {
    "succeeded": "green",
    "cached": "cyan",
    "running": "blue",
    "failed": "red",
    "stopped": "yellow",
    "paused": "magenta",
    "superseded": "yellow",
}
FOLLOW_SECONDS = 0.25


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
    rows = [
        [f"{run.repository}#{run.number}", run.project or ".", run.status, run.ref.removeprefix("refs/heads/"),
         run.commit[:7], duration(between(run.started, run.finished)), run.subject[:50]]
        for run in found
    ]  # fmt: skip
    headings = [text("run"), text("project"), text("status"), text("branch"), text("commit"), text("took"),
                text("subject")]  # fmt: skip
    if not any(run.project for run in found):  # most repositories are one project, and need not be told
        headings, rows = [headings[0], *headings[2:]], [[row[0], *row[2:]] for row in rows]
    if rows:
        table([say(heading) for heading in headings], rows)
    else:
        click.echo(say(text("No runs yet. A push starts one: git push refmill main")), err=True)


@click.command(
    **example(text("Show a run: its stages, why each ran, and how it ended."), "refmill show alice/churn#42")
)
@click.argument("run", metavar="RUN")
@data_option
@json_option
def show(*, run: str, data: Path | None, as_json: bool) -> None:
    """One run."""
    settings = load(data)
    records = places.records(settings)
    found = find_run(records, run)
    plan = records.runs.plan(found.id)
    reasons = {item.stage.address: [say(reason.message) for reason in item.reasons] for item in plan.stages}
    if as_json:
        shown = run_json(records, found)
        for stage in shown["stages"]:
            stage["reasons"] = reasons.get(stage["name"], [])
        print_json(shown)
        return
    name = click.style(f"{found.repository}#{found.number}", bold=True)
    click.echo(f"{name}  {click.style(found.status, fg=COLOURS.get(found.status))}  {found.subject}")
    click.echo(
        f"{found.ref}  {found.commit[:7]}  {found.created_by}  {duration(between(found.started, found.finished))}"
    )
    if found.project:
        click.echo(say(text("project %(path)s", path=found.project)))
    if found.words:
        click.echo(say(text("with %(parameters)s", parameters=shlex.join(found.words))))
    if found.explanation:
        click.echo(say(found.explanation))
    if address := places.address(settings):
        click.echo(say(text("page: %(url)s", url=f"{address}/{found.repository}/runs/{found.number}")))
    if found.experiment:
        there = f"cd {shlex.quote(found.project)} && " if found.project else ""
        lines = f"{there}dvc exp pull refmill {found.experiment} && dvc exp apply {found.experiment}"
        click.echo(f"{say(text('experiment %(name)s', name=found.experiment))}: {lines}")
    click.echo()
    rows = [
        [stage.address, stage.status, duration(stage.seconds),
         say(stage.explanation) if stage.explanation and stage.status not in ("succeeded", "cached")
         else "; ".join(reasons.get(stage.address, [])[:2])]
        for stage in records.runs.stages(found.id)
    ]  # fmt: skip
    table([say(heading) for heading in (text("stage"), text("status"), text("took"), text("why"))], rows)


@click.command(
    **example(text("Print what a run's stages printed; -f follows."), "refmill logs alice/churn#42 train@rf -f")
)
@click.argument("run", metavar="RUN")
@click.argument("stage", required=False)
@click.option("-f", "--follow", is_flag=True, help=say(text("Go on until the run has ended.")))
@data_option
@json_option
def logs(*, run: str, stage: str | None, follow: bool, data: Path | None, as_json: bool) -> None:
    """One stage's log, or all of them with the stage's name before each line."""
    settings = load(data)
    records, reader = places.records(settings), places.logs(settings)
    found = find_run(records, run)
    _refuse_unknown(stage, records.runs.stages(found.id))
    at: dict[tuple[str, int], int] = {}
    while True:
        found = records.runs.get(found.id)
        for item in records.runs.stages(found.id):
            if stage in (None, item.address) and item.status not in ("pending", "blocked", "queued", "cached"):
                key = (item.address, item.attempt)
                at[key] = _print(reader, found, item, at.get(key, 1), named=stage is None, as_json=as_json)
        over = found.status in RUN_ENDED or (stage and all(
            item.status in STAGE_ENDED for item in records.runs.stages(found.id) if item.address == stage))  # fmt: skip
        if not follow or over:
            if not any(start > 1 for start in at.values()) and not as_json:
                _tell_silence(records.runs.stages(found.id), stage)
            return
        time.sleep(FOLLOW_SECONDS)


def _refuse_unknown(stage: str | None, stages: Sequence[StageRun]) -> None:
    """Raise WrongUse if the run has no such stage."""
    names = [item.address for item in stages]
    if stage is not None and stage not in names:
        known = text("There are: %(known)s", known=", ".join(names[:20]))
        raise errors.WrongUse(text("this run has no stage “%(name)s”", name=stage), known)


def _tell_silence(stages: Sequence[StageRun], stage: str | None) -> None:
    """Why there is nothing to print: to whom it may be of use, not among the output."""
    for item in stages:
        if stage in (None, item.address):
            why = say(item.explanation) if item.explanation else say(text("it printed nothing"))
            words = say(text("from the cache")) if item.status == "cached" else why
            click.echo(f"{click.style(item.address, fg='cyan')}  {item.status}: {words}", err=True)


def _print(reader: Any, run: Run, stage: StageRun, start: int, *, named: bool, as_json: bool) -> int:
    """Print new lines of one stage; gives the number to go on with."""
    while True:
        page = reader.read(run, stage.address, stage.attempt, start=start, limit=1000)
        for line in page.lines:
            if as_json:
                print_json({"stage": stage.address, "number": line.number, "time": rfc3339(line.time),
                            "stream": line.stream, "text": line.text})  # fmt: skip
            else:
                click.echo(f"{click.style(stage.address, fg='cyan')}  {line.text}" if named else line.text)
        start = page.next
        if not page.lines:
            return int(start)
