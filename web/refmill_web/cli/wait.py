"""`refmill wait`: until a run has ended, for scripts that go on from there."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from refmill import errors, quantities
from refmill.clients.database import Records
from refmill.flows import hindsight
from refmill.model.runs import RUN_ENDED, STAGE_ENDED, Run, StageRun
from refmill.plans.wording import in_short
from refmill.settings import Settings
from refmill.texts import Text, text
from refmill_web import places
from refmill_web.cli.moments import between, duration
from refmill_web.cli.names import find_run
from refmill_web.cli.options import data_option, example, json_option, load
from refmill_web.cli.runreport import stage_line
from refmill_web.cli.runs import ENDED_BADLY, FOLLOW_SECONDS, run_json
from refmill_web.cli.speech import echo, print_json, say, shown_width, tell
from refmill_web.processes.holding import is_running
from refmill_web.words import STATES

LATE = 124
"""The exit code when the time is over, as that of timeout(1)."""


@click.command(
    **example(
        text(
            "Wait until a run has ended, and say meanwhile what its stages do. Exit codes: 0 it succeeded or had"
            " nothing to run, 1 it failed, was stopped or superseded, 124 it has not ended in time."
        ),
        "refmill wait alice/churn#42",
        "refmill wait alice/churn#42 --timeout 1h30m && dvc exp pull origin run-42",
    )
)
@click.argument("run", metavar="RUN")
@click.option("--timeout", metavar="TIME", help=say(text("How long at most: 90s, 30m, 1h30m (default: for ever).")))
@data_option
@json_option
def wait(*, run: str, timeout: str | None, data: Path | None, as_json: bool) -> None:
    """Look again and again; lines go to stderr where stdout is for JSON."""
    until = None if timeout is None else time.monotonic() + _seconds(timeout)
    settings = load(data)
    records = places.records(settings)
    found = find_run(records, run)
    lines = Lines(records, found, err=as_json)
    if found.status not in RUN_ENDED:
        lines.begin(settings)
    while found.status not in RUN_ENDED and (until is None or time.monotonic() < until):
        time.sleep(FOLLOW_SECONDS if until is None else max(0.0, min(FOLLOW_SECONDS, until - time.monotonic())))
        found = records.runs.get(found.id)
        lines.look(found)
    lines.end(found)
    if as_json:
        print_json(run_json(records, found))
    if found.status not in RUN_ENDED:
        sys.exit(LATE)
    if found.status in ENDED_BADLY:
        sys.exit(1)


def _seconds(words: str) -> float:
    """Raises WrongUse."""
    try:
        return float(words) if words.replace(".", "", 1).isdecimal() else quantities.duration(words)
    except ValueError as error:
        raise errors.WrongUse(
            text("“%(words)s” is no time", words=words), text("Write it like 90s, 30m or 1h30m.")
        ) from error


class Lines:
    """What is told of a run while it goes on: a line for each change of a stage."""

    def __init__(self, records: Records, run: Run, *, err: bool) -> None:
        self._records, self._run, self._err = records, run, err
        self._plan = records.runs.plan(run.id)
        self._told: dict[str, tuple[str, int]] = {}
        self._width = max((shown_width(item.stage.address) for item in self._plan.stages), default=0)

    def begin(self, settings: Settings) -> None:
        """How the run stands before anything changes; stages that have ended or not begun go without saying."""
        self._state(self._run)
        if not is_running(settings):
            tell(text("no platform runs in %(data)s: nothing goes on until it does", data=str(settings.data)), err=True)
        stages = self._records.runs.stages(self._run.id)
        self._told = {item.address: _mark(item) for item in stages if item.status not in ("running", "blocked")}
        self._changes(stages)

    def look(self, run: Run) -> None:
        """Tell what has changed."""
        old, self._run = self._run, run
        self._changes(self._records.runs.stages(run.id))
        if (old.status, old.explanation) != (run.status, run.explanation) and run.status not in RUN_ENDED:
            self._state(run)

    def end(self, run: Run) -> None:
        """How it ended, or that it has not."""
        took = duration(between(run.started, run.finished))
        if run.status not in RUN_ENDED:
            told = text("%(run)s has not ended in time: %(status)s", run=run.name, status=STATES[run.status])
        elif took:
            told = text("%(run)s: %(status)s in %(took)s", run=run.name, status=STATES[run.status], took=took)
        else:
            told = text("%(run)s: %(status)s", run=run.name, status=STATES[run.status])
        tell(told, err=self._err or run.status not in RUN_ENDED)

    def _state(self, run: Run) -> None:
        tell(text("%(run)s: %(status)s", run=run.name, status=STATES[run.status]), err=self._err)
        if run.explanation is not None:
            tell(run.explanation, err=self._err)

    def _changes(self, stages: Sequence[StageRun]) -> None:
        changed = [item for item in stages if self._told.get(item.address) != _mark(item)]
        self._told |= {item.address: _mark(item) for item in changed}
        known = {item.address: item for item in stages}
        told = {item.address for item in changed if item.status in STAGE_ENDED or item.status in ("running", "blocked")}
        plans = [item for item in self._plan.stages if item.stage.address in told]
        reasons = hindsight.reasons(self._records.runs, self._run, self._plan, known, plans)
        for item in changed:
            if item.address in told:
                why = in_short(reasons.get(item.address, ()))
                line = stage_line(item.address, item.status, _words(item, why), self._width)
                echo(line, err=self._err)


def _mark(stage: StageRun) -> tuple[str, int]:
    return stage.status, stage.attempt


def _words(stage: StageRun, why: Text | None) -> str:
    if stage.status == "succeeded":
        return duration(stage.seconds)
    told = stage.explanation or why
    return say(told) if told else ""
