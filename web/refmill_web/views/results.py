"""What a run left behind, as files: its logs and its outputs; and what it measures meanwhile."""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from flask import Blueprint, Response, jsonify, make_response, request
from werkzeug.wrappers import Response as AnyResponse

from refmill import errors
from refmill.model.runs import Run
from refmill.plans.projects import full
from refmill.ports.logs import Logs
from refmill.texts import text
from refmill_web import auth, notebooks, security, underway
from refmill_web.content import markdown
from refmill_web.logview import view
from refmill_web.notebooks import Notebook
from refmill_web.rawfiles import plain
from refmill_web.services import services
from refmill_web.shell import Frame, frame, render
from refmill_web.values import outputs

blueprint = Blueprint("results", __name__, url_prefix="/<owner>/<name>/runs/<int:number>")
CHUNK = 1000


@dataclass(frozen=True, slots=True)
class OutputPage:
    """The context of output.html: a notebook that a run made."""

    frame: Frame
    run: Run
    path: str
    size: int
    notebook: Notebook


def _attempt(run: Run, address: str) -> int:
    given = request.args.get("attempt", type=int)
    if given:
        return given
    return next((stage.attempt for stage in services().runs.stages(run.id) if stage.address == address), 1)


@blueprint.get("/log.json")
def log_lines(owner: str, name: str, number: int) -> Response:
    """Lines of a stage's log from `start` (negative: from the end): {rows, next, complete}."""
    access = auth.access(owner, name)
    run = services().runs.by_number(access.repository.id, number)
    address = request.args.get("stage", "")
    start, limit = request.args.get("start", 1, type=int), request.args.get("limit", CHUNK, type=int)
    page = services().logs.read(run, address, _attempt(run, address), start=start, limit=max(1, min(limit, CHUNK)))
    shown = view(page)
    return jsonify({"rows": shown.rows, "next": shown.next, "complete": shown.complete})


@blueprint.get("/figures.json")
def figures(owner: str, name: str, number: int) -> Response:
    """A running stage's metrics and plots by now: {attempt, files: {path: text}}; attempt 0 where it does not run."""
    access = auth.access(owner, name)
    run = services().runs.by_number(access.repository.id, number)
    plan, stages = services().runs.plan(run.id), services().runs.stages(run.id)
    attempt, found = underway.figures(run, plan, stages, request.args.get("stage", ""))
    return jsonify({"attempt": attempt, "files": dict(_texts(found))})


def _texts(files: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    """Those that are text; the end of one may be cut."""
    for path, data in files.items():
        if b"\0" not in data:
            yield path, data.decode("utf-8", "replace")


@blueprint.get("/log.txt")
def log_text(owner: str, name: str, number: int) -> Response:
    """A stage's whole log for download, each line with its time."""
    access = auth.access(owner, name)
    run = services().runs.by_number(access.repository.id, number)
    address = request.args.get("stage", "")
    lines = _lines(services().logs, run, address, _attempt(run, address))
    response = Response(lines, content_type="text/plain; charset=utf-8")
    safe = "".join(character if character.isalnum() or character in "-_@." else "-" for character in address)
    response.headers.set("Content-Disposition", "attachment", filename=f"{access.repository.name}-{number}-{safe}.log")
    response.headers["Content-Security-Policy"] = security.SANDBOX
    return response


def _lines(logs: Logs, run: Run, address: str, attempt: int) -> Iterator[str]:
    start = 1
    while True:
        page = logs.read(run, address, attempt, start=start, limit=CHUNK)
        for line in page.lines:
            when = datetime.fromtimestamp(line.time / 1e6, UTC).isoformat(timespec="milliseconds")
            yield f"{when.removesuffix('+00:00')}Z {line.text}\n"
        if not page.lines or page.next <= start:
            return
        start = page.next


@blueprint.get("/outputs/<path:path>")
def output(owner: str, name: str, number: int, path: str) -> AnyResponse:
    """An output file of the run: a notebook as a page, others (and with `raw` that one) in a sandbox; directories and
    large files are for `dvc pull`."""
    access = auth.access(owner, name)
    run = services().runs.by_number(access.repository.id, number)
    found = outputs(services().runs.plan(run.id), services().runs.stages(run.id)).get(path)
    md5 = str(found.get("md5", "")) if found else ""
    if not md5 or md5.endswith(".dir"):
        raise errors.NotFound(
            text("Run #%(number)s has no output file “%(path)s”.", number=number, path=path[:200]),
            text("Directories come with `dvc pull` in a clone."),
        )
    read = partial(services().objects(run.repository_id).read, md5)
    if path.endswith(".ipynb") and "raw" not in request.args:
        with contextlib.suppress(errors.LimitExceeded):
            data = read(notebooks.LIMIT)
            folder = posixpath.dirname(full(run.project, path))
            shown = notebooks.read(data, lambda words: markdown(words, access.repository, run.commit, folder))
            if shown is not None:
                page = OutputPage(frame(access, "runs"), run, path, len(data), shown)
                return make_response(render("output.html", page))
    return plain(posixpath.basename(path), read)
