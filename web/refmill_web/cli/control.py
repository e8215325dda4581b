"""`refmill stop`, `pause`, `resume` and `retry`: wishes that the engine carries out."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import click

from refmill import errors
from refmill.clients.database import Records
from refmill.clients.resolver.client import SocketResolver
from refmill.flows.control import retry_with
from refmill.model.runs import RUN_ENDED, Run
from refmill.ports.resolver import Source
from refmill.settings import Settings
from refmill.texts import text
from refmill_web import places
from refmill_web.cli.names import find_run
from refmill_web.cli.options import data_option, example, json_option, load
from refmill_web.cli.runoptions import set_param_option
from refmill_web.cli.runs import run_json
from refmill_web.cli.speech import print_json, say, tell
from refmill_web.words import STATES

WAIT_SECONDS = 15.0
"""How long a command waits for the engine before it says that the wish is only noted."""


@click.command(**example(text("Stop a run: its processes end, nothing is recorded."), "refmill stop alice/churn#42"))
@click.argument("run", metavar="RUN")
@data_option
@json_option
def stop(*, run: str, data: Path | None, as_json: bool) -> None:
    """Ask, and wait until it has stopped."""
    settings = load(data)
    records = places.records(settings)
    found = find_run(records, run)
    if found.status in RUN_ENDED:
        raise errors.Conflict(text("%(run)s has ended already: %(status)s", run=run, status=STATES[found.status]))
    found = _ask(settings, records, found, "stop", lambda new: new.status in RUN_ENDED)
    if as_json:
        print_json(run_json(records, found))
    elif found.status in RUN_ENDED:
        tell(text("%(run)s: %(status)s", run=run, status=STATES[found.status]))
    else:
        tell(text("%(run)s will be stopped as soon as the platform runs", run=run))


@click.command(
    **example(
        text("Pause a run: what runs finishes, nothing new starts, until it is resumed."),
        "refmill pause alice/churn#42",
    )
)
@click.argument("run", metavar="RUN")
@data_option
@json_option
def pause(*, run: str, data: Path | None, as_json: bool) -> None:
    """Ask, and wait until it is paused."""
    settings = load(data)
    records = places.records(settings)
    found = find_run(records, run)
    if found.status in RUN_ENDED:
        raise errors.Conflict(text("%(run)s has ended already: %(status)s", run=run, status=STATES[found.status]))
    if found.status == "paused":
        raise errors.Conflict(text("%(run)s is paused already", run=run), text("`refmill resume` lets it go on."))
    found = _ask(settings, records, found, "pause", lambda new: new.status not in ("queued", "running"))
    running = [stage.address for stage in records.runs.stages(found.id) if stage.status == "running"]
    if as_json:
        print_json(run_json(records, found))
    elif found.status in ("queued", "running"):
        tell(text("%(run)s will be paused as soon as the platform runs", run=run))
    elif found.status == "paused" and running:
        tell(text("%(run)s: paused; still running: %(stages)s", run=run, stages=", ".join(running)))
    else:
        tell(text("%(run)s: %(status)s", run=run, status=STATES[found.status]))


@click.command(
    **example(
        text("Let a paused run go on; that is also the consent that a stage with `pause: true` waits for."),
        "refmill resume alice/churn#42",
    )
)
@click.argument("run", metavar="RUN")
@data_option
@json_option
def resume(*, run: str, data: Path | None, as_json: bool) -> None:
    """Ask, and wait until it goes on."""
    settings = load(data)
    records = places.records(settings)
    found = find_run(records, run)
    if found.status in RUN_ENDED:
        raise errors.Conflict(
            text("%(run)s has ended already: %(status)s", run=run, status=STATES[found.status]),
            text("`refmill retry` runs again what did not succeed."),
        )
    if not _waits(records, found):
        raise errors.Conflict(text("%(run)s is not paused, and no stage of it waits for consent", run=run))
    found = _ask(settings, records, found, "resume", lambda new: not _waits(records, new))
    if as_json:
        print_json(run_json(records, found))
    elif _waits(records, found):
        tell(text("%(run)s will go on as soon as the platform runs", run=run))
    else:
        tell(text("%(run)s: %(status)s", run=run, status=STATES[found.status]))


def _waits(records: Records, run: Run) -> bool:
    """Whether somebody has to say that it may go on."""
    return run.status == "paused" or any(stage.asks for stage in records.runs.stages(run.id))


def _ask(settings: Settings, records: Records, run: Run, wish: str, done: Callable[[Run], bool]) -> Run:
    """Leave a wish; gives the run once it is `done`, or as it stands when nobody carried the wish out."""
    records.states.ask(run.id, wish)
    places.bell(settings).ring("wishes")
    until = time.monotonic() + WAIT_SECONDS
    while not done(run) and time.monotonic() < until:
        time.sleep(0.1)
        run = records.runs.get(run.id)
    return run


@click.command(
    **example(
        text("Run again what failed; what is done comes from the cache."),
        "refmill retry alice/churn#42",
        "refmill retry --force alice/churn#42",
        "refmill retry alice/churn#42 -S train.lr=0.1",
    )
)
@click.argument("run", metavar="RUN")
@click.option("-f", "--force", is_flag=True, help=say(text("Run every stage again, also what is cached.")))
@set_param_option(text("Change a parameter for it, as `dvc exp run -S` does."))
@data_option
@json_option
def retry(*, run: str, force: bool, set_param: tuple[str, ...], data: Path | None, as_json: bool) -> None:
    """Ask, and tell the new run."""
    if force and set_param:
        raise errors.WrongUse(
            text("--force runs again what was run, and --set-param something else"), text("Take one of the two away.")
        )
    settings = load(data)
    records = places.records(settings)
    found = find_run(records, run)
    if found.status not in RUN_ENDED:
        raise errors.Conflict(text("%(run)s has not ended yet", run=run), text("Wait for it, or stop it first."))
    if set_param:
        _look_at(settings, found, set_param)
    newest = records.history.last([found.repository_id])[found.repository_id].number
    records.states.ask(found.id, "rerun" if force else retry_with(set_param), set_param)
    places.bell(settings).ring("wishes")
    made = _newer(records, found, newest)
    if made is None:
        tell(text("%(run)s will be retried as soon as the platform runs", run=run))
    elif as_json:
        print_json(run_json(records, made))
    else:
        tell(text("retried as %(repository)s#%(number)s", repository=made.repository, number=made.number))
        if address := places.address(settings):
            tell(text("page: %(url)s", url=f"{address}/{made.repository}/runs/{made.number}"))


def _look_at(settings: Settings, run: Run, words: tuple[str, ...]) -> None:
    """Say at once what is wrong with parameters, if the platform runs. Raises Invalid."""
    resolver = SocketResolver(settings.path("run", "resolver.sock"))
    place = settings.path("repos", f"{run.repository_id}.git")
    try:
        checked = resolver.check(Source(place, run.commit, run.project, words=(*run.words, *words)))
    except errors.Unavailable:
        return
    if checked.errors:
        raise errors.Invalid(checked.errors)


def _newer(records: Records, old: Run, newest: int) -> Run | None:
    """The attempt that the wish made, once it is there."""
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        for run in records.runs.list([old.repository_id], limit=20, project=old.project):
            if run.commit == old.commit and run.number > newest:
                return run
        time.sleep(0.1)
    return None
