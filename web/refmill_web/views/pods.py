"""What pods of a cluster ask and tell, over HTTP: `refmill_argo.desk` answers (docs/decisions/0018 has the protocol).

The rule to keep: nothing of a body is read before the token has been looked at, and never more of it than its limit,
however it unfolds.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, jsonify, make_response, request, send_file

from refmill import errors, specs
from refmill.engine.live import LIMIT as FIGURES
from refmill.model.runs import Run
from refmill.texts import text
from refmill_argo.archives import NAME as ARCHIVE
from refmill_argo.desk import Paused
from refmill_argo.outcomes import Behind
from refmill_web import failures, packed
from refmill_web.services import services

blueprint = Blueprint("pods", __name__, url_prefix="/api/runs/<run_id>")
STAGE = "/pods/<pod>/stages/<index>"
SMALL = 1 << 20
"""Bytes of a request that lists no files, and of a piece of a log."""
LISTED = 64 << 20
"""Bytes of one that does, as it is sent."""
A_FILE = 512
"""Bytes of a listing that one file may take: its path, its MD5, its size."""
UNFOLDED = 256 << 20
AGAIN_SECONDS = 5
DRAINED = 16 << 20
"""Bytes of a refused body that are read away, so that the refusal reaches the sender."""
_one_large = threading.Lock()


@blueprint.get("/pods/<pod>/plan.json")
def share(run_id: str, pod: str) -> Response:
    """What a pod is to run."""
    run = _admitted(run_id)
    answer = jsonify(services().desk.share(run, _number(pod)))
    answer.headers["Cache-Control"] = "no-store"
    return answer


@blueprint.get(f"/pods/{ARCHIVE}")
def archive(run_id: str) -> Response:
    """The commit's files."""
    run = _admitted(run_id)
    return send_file(services().desk.archive(run), mimetype="application/gzip", conditional=False)


@blueprint.post(f"{STAGE}/begin")
def begin(run_id: str, pod: str, index: str) -> Response:
    """An attempt begins, or the answer says why not."""
    run = _admitted(run_id)
    said = _object(_body(SMALL))
    who, attempt = _who(said), _attempt(said)
    return jsonify(services().desk.begin(run, _number(pod), _number(index), who, attempt))


@blueprint.post(f"{STAGE}/log")
def log(run_id: str, pod: str, index: str) -> Response:
    """A piece of a log."""
    run = _admitted(run_id)
    attempt, offset = _number(request.args.get("attempt", "")), _number(request.args.get("offset", ""))
    size = services().desk.log(run, _number(pod), _number(index), attempt, offset, _body(SMALL))
    return jsonify(size=size)


@blueprint.put(f"{STAGE}/live")
def live(run_id: str, pod: str, index: str) -> Response:
    """What a metrics or plots file says by now."""
    run = _admitted(run_id)
    who, path = _who({"who": request.args.get("who")}), request.args.get("path", "")
    attempt = _number(request.args.get("attempt", ""))
    services().desk.figure(run, _number(pod), _number(index), who, attempt, path, _body(FIGURES))
    return Response(status=204)


@blueprint.post(f"{STAGE}/listing")
def listing(run_id: str, pod: str, index: str) -> Response:
    """What a stage made, before its bytes are sent."""
    run = _admitted(run_id)
    with _large() as said:
        return jsonify(services().desk.listing(run, _number(pod), _number(index), _attempt(said), said))


@blueprint.post(f"{STAGE}/end")
def end(run_id: str, pod: str, index: str) -> Response:
    """How an attempt ended."""
    run = _admitted(run_id)
    with _large() as said:
        who, attempt = _who(said), _attempt(said)
        return jsonify(services().desk.end(run, _number(pod), _number(index), who, attempt, said))


@blueprint.get("/environments/<name>")
def environment(run_id: str, name: str) -> Response:
    """An environment that another pod has packed."""
    run = _admitted(run_id)
    found = services().packed(run.repository_id).get(name)
    answer = Response(found.blocks, mimetype="application/gzip")
    if found.size is not None:
        answer.content_length = found.size
    return answer


@blueprint.put("/environments/<name>")
def keep_environment(run_id: str, name: str) -> Response:
    """Keep one."""
    run = _admitted(run_id)
    limit = int(specs.quantity(services().settings.push_limit))
    request.max_content_length = limit
    services().packed(run.repository_id).put(name, request.stream.read, limit=limit)
    return Response(status=201)


@blueprint.errorhandler(errors.RefmillError)
def refused(error: errors.RefmillError) -> Response:
    """The refusal, with what it takes to be no longer refused."""
    with contextlib.suppress(Exception):
        request.max_content_length = DRAINED
        while request.stream.read(SMALL):
            pass
    if isinstance(error, Paused):  # which is no fault that anybody has to find in the log
        answer = make_response(failures.answer(error.status, error.kind, error.message, error.remedy))
    else:
        answer = make_response(failures.ours(error))
    if isinstance(error, Behind):
        answer.set_data(json.dumps({**answer.get_json(), **error.facts}))
    if error.status == errors.Unavailable.status:
        answer.headers["Retry-After"] = str(AGAIN_SECONDS)
    return answer


def _admitted(run_id: str) -> Run:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return services().desk.admit(run_id, token.strip() if scheme.lower() == "bearer" else "")


def _number(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= 18):
        raise errors.NotFound(text("this run has no such pod"))
    return int(word)


def _body(limit: int, unfolded: int = 0) -> bytes:
    """The request's body, unfolded if it is packed. Raises LimitExceeded, WrongUse."""
    folded = packed.is_packed(request.headers.get("Content-Encoding", "identity"))
    request.max_content_length = limit
    body = request.get_data(cache=False)
    return packed.unfolded(body, unfolded or limit) if folded else body


@contextlib.contextmanager
def _large() -> Iterator[dict[str, Any]]:
    """A request that may list very many files: of the largest one at a time, for they take a gigabyte each."""
    files = services().settings.stage_files
    unfolded = min(UNFOLDED, SMALL + files * A_FILE) if files else UNFOLDED
    body = _body(min(LISTED, unfolded), unfolded)
    with _one_large if len(body) > 4 * SMALL else contextlib.nullcontext():
        yield _object(body)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise errors.WrongUse(text("send a JSON object")) from error
    if not isinstance(found, dict):
        raise errors.WrongUse(text("send a JSON object"))
    return found


def _who(said: dict[str, Any]) -> str:
    who = said.get("who")
    if not isinstance(who, str) or not 0 < len(who) <= 253:  # as long as a name in Kubernetes may be
        raise errors.WrongUse(text("say “who” asks: the name of the pod"))
    return who


def _attempt(said: dict[str, Any]) -> int:
    attempt = said.get("attempt")
    if not isinstance(attempt, int) or isinstance(attempt, bool) or not 0 < attempt < 1 << 31:
        raise errors.WrongUse(text("say which “attempt” it is"))
    return attempt
