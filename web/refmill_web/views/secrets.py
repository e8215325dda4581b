"""The secrets of a repository: which there are, setting and removing them. No page ever shows a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, redirect, request, url_for
from werkzeug.wrappers import Response

from refmill import errors
from refmill.ports.records import SecretName
from refmill.texts import Text
from refmill_web import auth
from refmill_web.services import services
from refmill_web.shell import Frame, frame, render

blueprint = Blueprint("secrets", __name__, url_prefix="/<owner>/<name>/settings/secrets")


@dataclass(frozen=True, slots=True)
class SecretsPage:
    """The context of secrets.html; `name` stands in the form again after a `fault`."""

    frame: Frame
    secrets: Sequence[SecretName]
    name: str = ""
    fault: Text | None = None
    remedy: Text | None = None


@blueprint.get("")
def of_repository(owner: str, name: str) -> str:
    """The names, and a form for one more."""
    access = auth.access(owner, name, "admin")
    return render("secrets.html", SecretsPage(frame(access, "secrets"), services().secrets.names(access.repository.id)))


@blueprint.post("")
def set_one(owner: str, name: str) -> Response | tuple[str, int]:
    """Set or replace a secret."""
    access = auth.access(owner, name, "admin")
    repository, user = access.repository, auth.signed_in()
    key = request.form.get("secret", "").strip()[:200]
    value = request.form.get("value", "").replace("\r\n", "\n")  # a form sends every line's end so
    try:
        services().secrets.set(repository.id, key, value, user.name)
    except errors.WrongUse as error:
        known = services().secrets.names(repository.id)
        page = SecretsPage(frame(access, "secrets"), known, key, error.message, error.remedy)
        return render("secrets.html", page), 400
    services().journal.note(user.name, "secret-set", repository.full_name, name=key)
    return redirect(url_for("secrets.of_repository", owner=owner, name=name), 303)


@blueprint.post("/<secret>/remove")
def remove(owner: str, name: str, secret: str) -> Response:
    """Take a secret away."""
    repository, user = auth.access(owner, name, "admin").repository, auth.signed_in()
    if services().secrets.remove(repository.id, secret):
        services().journal.note(user.name, "secret-removed", repository.full_name, name=secret)
    return redirect(url_for("secrets.of_repository", owner=owner, name=name), 303)
