"""The first words of the API: signing in from a script. The rest of it is to come; what is here stays as it is."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, jsonify, request

from refmill import errors
from refmill.texts import text
from refmill_web.auth import Attempts
from refmill_web.services import services

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")


@blueprint.post("/login")
def login() -> Response:
    """`{username, password, label?}` → `{username, token}`: a new personal token with the scopes read and write."""
    try:
        asked = request.get_json(silent=True)
    except RecursionError:  # brackets within brackets within brackets: no fault of JSON to the parser
        asked = None
    if not isinstance(asked, dict) or not all(isinstance(asked.get(key), str) for key in ("username", "password")):
        raise errors.WrongUse(text("send a JSON object with “username” and “password”"))
    attempts: Attempts = current_app.extensions["refmill-attempts"]
    keys = (f"account:{asked['username'].lower()}", f"address:{request.remote_addr}")
    if wait := attempts.wait(*keys):
        raise errors.TooOften(text("too many wrong passwords: wait %(seconds)s s", seconds=wait))
    people = services().people
    user = people.check_password(asked["username"], asked["password"])
    if user is None and asked["password"].startswith("rfm_"):
        found = people.check_token(asked["password"])
        user = found[0] if found and found[0].name.lower() == asked["username"].lower() else None
        if user:
            return jsonify(username=user.name, token=asked["password"])
    if user is None:
        attempts.failed(*keys)
        raise errors.Unauthorized(text("wrong user name or password"))
    label = str(asked.get("label") or "login")[:100]
    _, secret = people.add_token(user.id, label, ("read", "write"))
    services().journal.note(user.name, "token-added", label)
    return jsonify(username=user.name, token=secret)
