"""Following a run: one WebSocket that tells its state and the log of one stage as they change.

Messages are JSON objects: `{"type": "state", …}` as `state` makes them, `{"type": "log", "rows", "next", "complete"}`,
and `{"type": "end"}` when nothing more will follow. Which stage and from which line stands in the address, so a
browser that lost the connection asks again with the number of the next line.
"""

from __future__ import annotations

import contextlib
import errno
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from flask import Blueprint, Flask, current_app, jsonify, request
from flask.wrappers import Response
from flask_sock import Sock
from simple_websocket import ConnectionClosed, Server

from refmill import errors
from refmill.model.runs import STAGE_ENDED, Run
from refmill.texts import text
from refmill_web import auth, csrf, underway
from refmill_web.display import duration, now
from refmill_web.i18n import say
from refmill_web.logview import view
from refmill_web.reports import RunReport, report
from refmill_web.services import services, services_of
from refmill_web.words import STATES

blueprint = Blueprint("live", __name__)
sock = Sock()
LINES = 500
LOOK_SECONDS = 0.2
"""How often a running log is read; the bell rings for states, not for lines."""
QUIET_SECONDS = 1.0
BUSY_SECONDS = 0.2
"""Between two looks at a run that rings all the time: each pod of a cluster rings when it has measured something."""
LEFT_OPEN_SECONDS = 6 * 3600
FULL = 1013
"""Close code "try again later" (IANA registry of RFC 6455 codes): the page then asks by plain requests."""
REFUSED = 1008
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==", re.ASCII)
SEATS = "refmill-seats"


@dataclass(slots=True)
class Seat:
    """Where a follower stands: which stage and attempt, the number of the next line, and what was told already."""

    stage: str
    attempt: int
    line: int
    shown: str = ""
    complete: bool = False
    report: RunReport | None = None


def install(app: Flask) -> None:
    """WebSockets, and as many seats for followers as the settings allow."""
    sock.init_app(app)
    app.before_request(_shake_hands)
    app.extensions[SEATS] = threading.BoundedSemaphore(services_of(app).settings.viewers)


def _shake_hands() -> None:
    """A request for a WebSocket must be one (RFC 6455 §4.2.1): the library breaks down on any other."""
    if request.url_rule is None or not request.url_rule.websocket:
        return
    asked = {word.strip().lower() for word in request.headers.get("Connection", "").split(",")}
    key = request.headers.get("Sec-WebSocket-Key", "")
    if request.headers.get("Sec-WebSocket-Version") != "13" or not _KEY.fullmatch(key) or "upgrade" not in asked:
        raise errors.WrongUse(
            text("This is not how a WebSocket is opened."),
            text("Use a browser of this decade, or ask at the address with “.json”."),
        )


def state(whole: RunReport) -> dict[str, Any]:
    """What the run's page shows of its course: header and nodes; `figures` is another word when running stages have
    written other metrics. Times are UTC microseconds."""
    run = whole.run
    return {
        "type": "state",
        "status": run.status,
        "word": say(STATES[run.status]),
        "headline": headline(whole),
        "started": run.started,
        "finished": run.finished,
        "now": now(),
        "ended": whole.ended,
        "asks": any(stage.asks for stage in whole.course.values()),
        "done": whole.done,
        "total": len(whole.stages),
        "left": duration(whole.left) if whole.left is not None else "",
        "figures": underway.mark(run, whole.plan, whole.course.values()),
        "nodes": [{**asdict(node), "word": say(STATES[node.status])} for node in whole.nodes],
    }


def headline(whole: RunReport) -> str:
    """The run's state in words: “Running 3 of 8”."""
    if whole.run.status == "running":
        return say(text("Running %(done)s of %(total)s", done=whole.done, total=len(whole.stages)))
    if whole.run.status == "paused" and (running := whole.count("running")):
        return say(text("paused; %(count)s still running", count=running))
    return say(STATES[whole.run.status])


def _seat() -> Seat:
    stage = request.args.get("stage", "")
    attempt = request.args.get("attempt", 0, type=int)
    return Seat(stage, attempt, max(1, request.args.get("line", 1, type=int)))


def news_of_state(run_id: str, seat: Seat) -> Iterator[Mapping[str, Any]]:
    """The run's state, if it is another one than was told last."""
    run = services().runs.get(run_id)
    known = seat.report.plan if seat.report and seat.report.run.status == run.status else None
    seat.report = report(run, known)
    told = state(seat.report)
    shown = json.dumps({**told, "now": 0, "left": ""}, sort_keys=True)
    if shown != seat.shown:
        seat.shown = shown
        yield told


def news_of_log(seat: Seat) -> Iterator[Mapping[str, Any]]:
    """The next lines of the stage's log, if there are any; a new attempt begins its log again."""
    whole = seat.report
    course = whole.course.get(seat.stage) if whole else None
    if whole is None or course is None or (seat.complete and course.attempt == seat.attempt):
        return
    if course.attempt != seat.attempt:
        seat.line = 1 if seat.attempt else seat.line
        seat.attempt, seat.complete = course.attempt, False
    page = services().logs.read(whole.run, seat.stage, seat.attempt, start=seat.line, limit=LINES)
    # A stage that has not begun has no log, and so a complete one: only the end of the stage ends its log.
    seat.complete = page.complete and not page.lines and course.status in STAGE_ENDED
    if page.lines or seat.complete:
        seat.line = page.next
        rows, done = view(page).rows, seat.complete
        yield {"type": "log", "attempt": seat.attempt, "rows": rows, "next": page.next, "complete": done}


def _may_follow(run_id: str) -> Run:
    run = services().runs.get(run_id)
    repository = services().catalogue.get(run.repository_id)
    if services().catalogue.role(auth.user(), repository) is None:
        raise errors.NotFound(text("There is no such run, or it may not be seen by you."))
    return run


@blueprint.get("/ws/runs/<run_id>.json")
def ask(run_id: str) -> Response:
    """The same news for one plain request: where WebSockets do not pass, and when all seats are taken."""
    _may_follow(run_id)
    seat = _seat()
    return jsonify([*news_of_state(run_id, seat), *news_of_log(seat)])


@sock.route("/ws/runs/<run_id>")  # type: ignore[untyped-decorator]  # flask-sock publishes no types
def follow(socket: Server, run_id: str) -> None:
    """Tell the news of a run until it is over or the browser leaves."""
    seats: threading.BoundedSemaphore = current_app.extensions[SEATS]
    try:
        run = _may_follow(run_id) if csrf.own_origin() else None
    except errors.RefmillError:
        run = None
    with _until_they_leave():
        if run is None:
            socket.close(REFUSED, "not allowed")
        elif not seats.acquire(blocking=False):
            socket.close(FULL, "all seats are taken")
        else:
            try:
                _tell(socket, run, _seat())
            finally:
                seats.release()


@contextlib.contextmanager
def _until_they_leave() -> Iterator[None]:
    """Bear that the browser goes at any moment: another thread reads its farewell, and closes the descriptor that is
    written to here."""
    try:
        yield
    except (ConnectionClosed, ConnectionError, errors.RefmillError):
        return
    except OSError as error:
        if error.errno != errno.EBADF:
            raise


def _tell(socket: Server, run: Run, seat: Seat) -> None:
    topics = frozenset({f"run:{run.id}"})
    until = time.monotonic() + LEFT_OPEN_SECONDS
    rang, looked = True, 0.0
    while socket.connected and time.monotonic() < until:
        told: list[Mapping[str, Any]] = []
        if time.monotonic() - looked > (BUSY_SECONDS if rang else QUIET_SECONDS):
            told, looked, rang = list(news_of_state(run.id, seat)), time.monotonic(), False
        told += news_of_log(seat)
        for message in told:
            socket.send(json.dumps(message, separators=(",", ":"), ensure_ascii=False))
        followed = (
            bool(seat.stage) and not seat.complete and seat.report is not None and seat.stage in seat.report.course
        )
        if not told and not followed and seat.report is not None and seat.report.ended:
            socket.send('{"type":"end"}')
            return
        wait = LOOK_SECONDS if followed else BUSY_SECONDS if rang else QUIET_SECONDS
        rang = bool(services().bell.wait(topics, wait)) or rang
