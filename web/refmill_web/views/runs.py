"""Runs: across repositories, of one repository, one run with its stages, and what people ask of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from flask import Blueprint, redirect, request, url_for
from werkzeug.wrappers import Response

from refmill import errors
from refmill.flows.control import retry_with
from refmill.model.people import Repository
from refmill.model.runs import RUN_ENDED, RUN_STATUSES, Run, RunStatus, StageRun
from refmill.ports.resolver import Source
from refmill.texts import Text, text
from refmill_web import auth
from refmill_web.display import STATE_ICONS
from refmill_web.logview import TAIL, LogView, view
from refmill_web.reports import RunReport, StageReport, default_stage, report, stage_report
from refmill_web.services import services
from refmill_web.shell import Frame, frame, render
from refmill_web.tables import Tables, tables
from refmill_web.views.live import state
from refmill_web.words import STATES

blueprint = Blueprint("runs", __name__)
PAGE = 50
WISHES: Mapping[str, frozenset[RunStatus]] = {
    "stop": frozenset({"queued", "running", "paused"}),
    "pause": frozenset({"queued", "running"}),
    "resume": frozenset({"paused"}),
    "retry": RUN_ENDED,
    "rerun": RUN_ENDED,
}
"""What can be asked of a run, and at which status."""
RETRY_SECONDS = 1.5
WORDS, WORD = 50, 500
"""Parameters of one retry, and characters of each."""
GRANT_SECONDS = 1.0
"""How long the answer to a wish waits for it to be carried out, so that the page that follows shows it."""


@dataclass(frozen=True, slots=True)
class RunsPage:
    """The context of runs.html; `frame` is None across repositories."""

    frame: Frame | None
    runs: Sequence[Run]
    stages: Mapping[str, Sequence[StageRun]]
    counts: Mapping[RunStatus, int]
    status: RunStatus | None
    older: str | None
    pushable: bool


@dataclass(frozen=True, slots=True)
class RunPage:
    """The context of run.html. `state` is what the graph island starts with (see views/live.py)."""

    frame: Frame
    report: RunReport
    stage: StageReport | None
    log: LogView | None
    line: int | None
    tables: Tables
    previous: Run | None
    state: Mapping[str, object]
    wishes: frozenset[str]
    unboxed: Text | None = None
    glyphs: Mapping[str, str] = field(default_factory=lambda: STATE_ICONS)

    @property
    def run(self) -> Run:
        """The run."""
        return self.report.run


@blueprint.get("/runs")
def everywhere() -> str:
    """The runs of all repositories that the asker may see."""
    return _list(None, services().catalogue.visible(auth.user()))


@blueprint.get("/<owner>/<name>/runs")
def of_repository(owner: str, name: str) -> str:
    """The runs of one repository."""
    access = auth.access(owner, name)
    return _list(frame(access, "runs"), [access.repository])


def _list(head: Frame | None, repositories: Sequence[Repository]) -> str:
    asked = request.args.get("status", "")
    status = next((known for known in RUN_STATUSES if known == asked), None)
    before = request.args.get("before", type=int)
    ids = [repository.id for repository in repositories]
    found = (
        services().runs.list(ids, statuses=(status,) if status else (), limit=PAGE + 1, before=before) if ids else ()
    )
    runs = found[:PAGE]
    older = urlencode({"status": status or "", "before": runs[-1].created}) if len(found) > PAGE else None
    stages = services().history.stages_of([run.id for run in runs]) if runs else {}
    counts = services().history.counts(ids) if ids else {}
    pushable = head is not None and head.access.may("write")
    return render("runs.html", RunsPage(head, runs, stages, counts, status, f"?{older}" if older else None, pushable))


@blueprint.get("/<owner>/<name>/runs/<int:number>")
def run(owner: str, name: str, number: int) -> str:
    """One run; with `part` only that piece of the page, for its script: `stage` or `results`."""
    access = auth.access(owner, name)
    whole = report(services().runs.by_number(access.repository.id, number))
    part = request.args.get("part")
    address = request.args.get("stage") or default_stage(whole)
    stage = stage_report(whole, address) if address else None
    line = request.args.get("line", type=int)
    log = _log(whole.run, stage, line) if part != "results" else None
    previous = services().history.previous(whole.run)
    values = tables(whole, previous)
    possible = _wishes(whole.run, whole.course.values()) if access.may("write") else frozenset[str]()
    if values.gone == "commit":
        possible -= {"retry", "rerun"}
    page = RunPage(
        frame(access, "runs"), whole, stage, log, line, values, previous, state(whole), possible,
        services().unboxed() if whole.run.engine == "local" else None,
    )  # fmt: skip
    return render({"stage": "run_stage.html", "results": "run_results.html"}.get(part or "", "run.html"), page)


def _wishes(run: Run, stages: Iterable[StageRun]) -> frozenset[str]:
    """What can be asked of a run now; consent also while other stages run."""
    found = {wish for wish, at in WISHES.items() if run.status in at}
    if run.status not in RUN_ENDED and any(stage.asks for stage in stages):
        found.add("resume")
    return frozenset(found)


def _log(run: Run, stage: StageReport | None, line: int | None) -> LogView | None:
    if stage is None or stage.course is None:
        return None
    attempt = stage.course.attempt
    start = max(1, line - TAIL // 2) if line and line > 0 else -TAIL
    return view(services().logs.read(run, stage.node.address, attempt, start=start, limit=TAIL))


@blueprint.post("/<owner>/<name>/runs/<int:number>/<any(stop, pause, resume, retry, rerun):wish>")
def ask(owner: str, name: str, number: int, wish: str) -> Response:
    """Leave a wish for the engine. A retry or rerun makes a new run: go there as soon as it is known."""
    access = auth.access(owner, name, "write")
    run = services().runs.by_number(access.repository.id, number)
    if wish not in _wishes(run, services().runs.stages(run.id)):
        raise errors.Conflict(
            text(
                "Run #%(number)s cannot do that any more: it is %(status)s.", number=number, status=STATES[run.status]
            ),
            text("Load its page again to see where it stands."),
        )
    words = _words(run) if wish == "retry" else ()
    newest = services().history.last([run.repository_id])[run.repository_id].number
    services().states.ask(run.id, retry_with(words) if words else wish, words)
    services().journal.note(
        auth.signed_in().name, f"run-{wish}", f"{access.repository.full_name}#{number}", parameters=list(words)
    )
    services().bell.ring("wishes")
    there = _retried(run, newest) if wish in ("retry", "rerun") else _granted(run, wish)
    return redirect(url_for("runs.run", owner=owner, name=name, number=there.number), 303)


def _words(run: Run) -> tuple[str, ...]:
    """The parameters that a form asks to be changed, a line each. Raises Invalid, WrongUse."""
    lines = [line.strip() for line in request.form.get("parameters", "").splitlines()]
    words = tuple(line for line in lines if line)
    if not words:
        return ()
    if len(words) > WORDS or any(len(word) > WORD for word in words):
        raise errors.WrongUse(
            text("at most %(count)s parameters, of %(size)s characters each", count=WORDS, size=WORD),
            text("Change the file and push it."),
        )
    place = services().repositories.path(run.repository_id)
    checked = services().resolver.check(Source(place, run.commit, run.project, words=(*run.words, *words)))
    if checked.errors:
        raise errors.Invalid(checked.errors)
    return words


def _granted(run: Run, wish: str) -> Run:
    """The run, when the wish has been carried out or a moment has passed."""
    until = time.monotonic() + GRANT_SECONDS
    while time.monotonic() < until:
        run = services().runs.get(run.id)
        if wish not in _wishes(run, services().runs.stages(run.id)):
            break
        services().bell.wait(frozenset({f"run:{run.id}"}), 0.1)
    return run


def _retried(run: Run, newest: int) -> Run:
    """The run after number `newest` that a retry of `run` made, or `run` itself if it is not there within a moment."""
    until = time.monotonic() + RETRY_SECONDS
    while time.monotonic() < until:
        found = services().runs.list([run.repository_id], limit=1, project=run.project)
        if found and found[0].number > newest and found[0].commit == run.commit:
            return found[0]
        services().bell.wait(frozenset({"runs", f"run:{run.id}"}), 0.1)
    return run
