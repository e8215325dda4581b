"""Answers that say what went wrong and what to do: a page for people, one JSON shape for programs."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import Flask, Response, g, jsonify, redirect, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from refmill import errors
from refmill.problems import Problem
from refmill.texts import Text, text
from refmill_web import auth
from refmill_web.i18n import say

LOG = logging.getLogger(__name__)
Answer = tuple[str | Response, int]


@dataclass(frozen=True, slots=True)
class FailurePage:
    """The context of failure.html; `detail` is kept one click away."""

    status: int
    title: Text
    message: Text
    remedy: Text | None
    problems: tuple[Problem, ...]
    request_id: str


TITLES: dict[int, Text] = {
    400: text("That was not understood"),
    401: text("Sign in first"),
    403: text("Not allowed"),
    404: text("Nothing here"),
    405: text("That was not understood"),
    409: text("Somebody else was faster"),
    410: text("Nothing here"),
    413: text("Too large"),
    422: text("The files cannot work"),
    429: text("Too many attempts"),
    500: text("Something broke on our side"),
    503: text("A part does not answer"),
}


def install(app: Flask) -> None:
    """Handlers for our own errors, for those of HTTP, and for what nobody foresaw."""
    app.register_error_handler(errors.RefmillError, ours)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unforeseen)


def wants_json() -> bool:
    """Whether a program asks."""
    if request.path.startswith("/api/") or request.path.endswith(".json"):
        return True
    return request.accept_mimetypes.best_match(["text/html", "application/json"], "text/html") == "application/json"


def ours(error: errors.RefmillError) -> Answer | AnyResponse:
    """The answer to one of our own errors."""
    if isinstance(error, auth.SignInNeeded) and not wants_json():
        if request.method == "GET":
            return redirect("/login?" + urlencode({"next": request.full_path.rstrip("?")}))
        return redirect("/login")
    if error.status >= 500:
        LOG.exception("request %s failed", g.get("request_id", ""), exc_info=error)
    problems = error.problems if isinstance(error, errors.Invalid) else ()
    return answer(error.status, error.kind, error.message, error.remedy, problems)


def _http(error: HTTPException) -> Answer | AnyResponse:
    code = error.code or 500
    if code < 400:
        return error.get_response()
    if code == 404:
        message = text("There is no page at %(path)s.", path=request.path)
        remedy = text("Look at the spelling, or begin at the start page.")
    elif code == 405:
        message = text("This address does not take %(method)s.", method=request.method)
        remedy = text("Use the buttons of the page.")
    elif code == 413:
        message, remedy = text("What was sent is too large."), text("Data belongs into git or the data remote.")
    else:
        message, remedy = text("The request was not understood."), text("Go back and load the page again.")
    return answer(
        code, {404: "not-found", 405: "wrong-method", 413: "limit-exceeded"}.get(code, "wrong-use"), message, remedy
    )


def _unforeseen(error: Exception) -> Answer:
    LOG.exception("request %s failed", g.get("request_id", ""), exc_info=error)
    return answer(
        500,
        "error",
        text("This is a fault of Refmill, not yours. It has been noted in the server's log."),
        text("Try again; if it stays, tell your administrator the request id below."),
    )


def answer(status: int, kind: str, message: Text, remedy: Text | None, problems: tuple[Problem, ...] = ()) -> Answer:
    """An answer that says what went wrong and what to do."""
    request_id = str(g.get("request_id", ""))
    if wants_json():
        body = {"code": status, "type": kind, "message": say(message), "request_id": request_id}
        if remedy:
            body["remedy"] = say(remedy)
        if problems:
            body["problems"] = [_problem(problem) for problem in problems]
        return jsonify(body), status
    page = FailurePage(status, TITLES.get(status, TITLES[500]), message, remedy, problems, request_id)
    return render_template("failure.html", page=page), status


def _problem(problem: Problem) -> dict[str, str | int | bool]:
    place = problem.place
    return {
        "type": problem.kind, "file": place.file, "line": place.line, "column": place.column,
        "message": say(problem.message), "remedy": say(problem.remedy), "excerpt": problem.excerpt,
        "warning": problem.warning,
    }  # fmt: skip
