"""`refmill show`: one run, with what became of its stages and why."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from refmill import errors
from refmill.clients.database import Records
from refmill.flows import hindsight
from refmill.model.plans import Reason
from refmill.model.runs import Run, StageRun, run_id
from refmill.plans.wording import in_short
from refmill.settings import Settings
from refmill.texts import Text, text
from refmill_web import places
from refmill_web.cli.moments import between, duration, minute
from refmill_web.cli.names import find_run
from refmill_web.cli.options import data_option, example, exit_status_option, json_option, load
from refmill_web.cli.runs import COLOURS, ENDED_BADLY, branch, run_json
from refmill_web.cli.speech import echo, print_json, say, table, tell
from refmill_web.words import STATES


@click.command(
    **example(text("Show a run: its stages, why each ran, and how it ended."), "refmill show alice/churn#42")
)
@click.argument("run", metavar="RUN")
@exit_status_option(text("Exit code 1 if the run failed, was stopped or superseded."))
@data_option
@json_option
def show(*, run: str, exit_status: bool, data: Path | None, as_json: bool) -> None:
    """One run."""
    settings = load(data)
    records = places.records(settings)
    found = find_run(records, run)
    stages = records.runs.stages(found.id)
    course = {stage.address: stage for stage in stages}
    reasons = hindsight.reasons(records.runs, found, records.runs.plan(found.id), course)
    if as_json:
        shown = run_json(records, found)
        for stage in shown["stages"]:
            stage["reasons"] = [say(reason.message) for reason in reasons.get(stage["name"], ())]
        print_json(shown)
    else:
        _head(settings, records, found)
        echo()
        headings = (text("stage"), text("status"), text("took"), text("why"))
        table([say(item) for item in headings], [_row(item, reasons.get(item.address, ())) for item in stages])
        if failed := [item.address for item in stages if item.status == "failed" and item.started]:
            command = f"refmill logs {shlex.quote(found.name)} {shlex.quote(failed[0])}"
            echo()
            tell(text("what it printed: %(command)s", command=command))
    if exit_status and found.status in ENDED_BADLY:
        sys.exit(1)


def _head(settings: Settings, records: Records, run: Run) -> None:
    """All that is told of the run as a whole."""
    status = click.style(say(STATES[run.status]), fg=COLOURS.get(run.status))
    echo(f"{click.style(run.name, bold=True)}  {status}  {run.subject}")
    took = duration(between(run.started, run.finished))
    echo("  ".join(filter(None, [branch(run), run.commit[:7], run.created_by, minute(run.created), took])))
    if run.project:
        tell(text("project %(path)s", path=run.project))
    if run.attempt > 1:
        tell(_attempt(records, run))
    if run.words:
        tell(text("with %(parameters)s", parameters=shlex.join(run.words)))
    if run.explanation:
        tell(run.explanation)
    address = places.address(settings)
    if address:
        tell(text("page: %(url)s", url=f"{address}/{run.repository}/runs/{run.number}"))
    if run.experiment:
        there = f"cd {shlex.quote(run.project)} && " if run.project else ""
        remote = shlex.quote(_remote(f"{address}/{run.repository}.git")) if address else "REMOTE"
        lines = f"{there}dvc exp pull {remote} {run.experiment} && dvc exp apply {run.experiment}"
        echo(f"{say(text('experiment %(name)s', name=run.experiment))}: {lines}")


def _attempt(records: Records, run: Run) -> Text:
    """Which attempt it is, and after which run."""
    try:
        before = records.runs.get(run_id(run.repository_id, run.commit, run.project, run.parameters, run.attempt - 1))
    except errors.NotFound:
        return text("attempt %(attempt)s", attempt=run.attempt)
    return text("attempt %(attempt)s, after %(run)s", attempt=run.attempt, run=before.name)


def _remote(url: str) -> str:
    """What the clone here calls the repository at `url`; that address itself where no remote leads to it."""
    try:
        listed = subprocess.run(
            ["git", "config", "--get-regexp", r"^remote\..*\.url$"], capture_output=True, text=True, check=False
        ).stdout
    except OSError:  # no git
        return url
    for key, _, there in (line.partition(" ") for line in listed.splitlines()):
        if _bare(there) == _bare(url):
            return key.removeprefix("remote.").removesuffix(".url")
    return url


def _bare(url: str) -> str:
    """An address without what may or may not stand in it: name and password, and its ending."""
    scheme, slashes, rest = url.partition("://")
    return f"{scheme}{slashes}{rest.rpartition('@')[2].rstrip('/').removesuffix('.git')}"


def _row(stage: StageRun, reasons: Sequence[Reason]) -> list[str]:
    """A stage in the table; for one that ended badly or waits, what it says of itself counts more than its plan."""
    status = say(STATES[stage.status])
    if stage.attempt > 1:
        status = say(text("%(status)s, attempt %(attempt)s", status=STATES[stage.status], attempt=stage.attempt))
    planned = stage.status in ("pending", "cached", "succeeded")
    why = in_short(reasons) if planned or stage.explanation is None else stage.explanation
    took = between(stage.started, None) if stage.status == "running" else stage.seconds
    return [stage.address, status, duration(took), say(why) if why else ""]
