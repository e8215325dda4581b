"""Signing in and out, the language, personal tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from flask import Blueprint, current_app, make_response, redirect, request, url_for
from werkzeug.wrappers import Response

from refmill import errors
from refmill.clients.catalogues import LANGUAGES
from refmill.model.people import Scope, Token
from refmill.texts import Text, text
from refmill_web import auth, i18n
from refmill_web.display import now
from refmill_web.services import services
from refmill_web.shell import render

blueprint = Blueprint("accounts", __name__)
SCOPES: dict[str, tuple[Scope, ...]] = {"read": ("read",), "write": ("read", "write")}
LIFETIMES: dict[str, int | None] = {"30": 30, "90": 90, "365": 365, "0": None}


@dataclass(frozen=True, slots=True)
class SignInPage:
    """The context of signin.html."""

    name: str = ""
    following: str = "/"
    fault: Text | None = None


@dataclass(frozen=True, slots=True)
class TokensPage:
    """The context of tokens.html; `secret` is there once, right after a token was made."""

    tokens: Sequence[Token]
    secret: str = ""
    fault: Text | None = None
    now: int = 0


def inner(address: str) -> str:
    """`address` if it is a place of this installation, else the start page: no forwarding to elsewhere."""
    parts = urlsplit(address)
    plain = not (parts.scheme or parts.netloc or "\\" in address or address.startswith("//"))
    return address if plain and address.startswith("/") and address.isprintable() else "/"


@blueprint.get("/login")
def sign_in() -> Response | str:
    """The sign-in form."""
    following = inner(request.args.get("next", "/"))
    return redirect(following) if auth.user() else render("signin.html", SignInPage(following=following))


@blueprint.post("/login")
def signing_in() -> Response | tuple[str, int]:
    """Check the password; too many wrong ones have to wait."""
    name, password = request.form.get("name", "").strip()[:100], request.form.get("password", "")[:1000]
    following = inner(request.form.get("next", "/"))
    attempts: auth.Attempts = current_app.extensions["refmill-attempts"]
    keys = (f"name:{name.lower()}", f"from:{request.remote_addr}")
    wait = attempts.wait(*keys)
    if wait:
        fault = text("Too many wrong passwords. Try again in %(seconds)s seconds.", seconds=wait)
        return render("signin.html", SignInPage(name, following, fault)), 429
    user = services().people.check_password(name, password)
    if user is None:
        attempts.failed(*keys)
        fault = text("This name and password do not belong together.")
        return render("signin.html", SignInPage(name, following, fault)), 401
    attempts.forget(*keys)
    response = redirect(following, 303)
    auth.begin(response, user)
    return response


@blueprint.post("/logout")
def sign_out() -> Response:
    """End this session."""
    response = redirect("/login", 303)
    auth.end(response)
    return response


@blueprint.post("/settings/language")
def switch_language() -> Response:
    """Remember a language in a cookie, and in the profile of somebody signed in."""
    code = request.form.get("language", "")
    if code not in LANGUAGES:
        raise errors.WrongUse(text("There is no language “%(code)s” here.", code=code[:20]))
    user = auth.user()
    if user is not None:
        services().profiles.change(replace(user, language=code))
    response = redirect(inner(request.form.get("next", "/")), 303)
    response.set_cookie(i18n.COOKIE, code, max_age=365 * 86400, samesite="Lax", secure=request.is_secure)
    return response


@blueprint.get("/settings/tokens")
def tokens() -> str:
    """The personal tokens."""
    return render("tokens.html", TokensPage(services().profiles.tokens(auth.signed_in().id), now=now()))


@blueprint.post("/settings/tokens")
def make_token() -> Response:
    """Make a token and show its secret, this once."""
    user = auth.signed_in()
    label = " ".join(request.form.get("label", "").split())[:60]
    scopes = SCOPES.get(request.form.get("scope", ""), ())
    days = LIFETIMES.get(request.form.get("days", ""), 90)
    if not label or not scopes:
        fault = text("Give the token a name, so that you know later what it is for.")
        page = TokensPage(services().profiles.tokens(user.id), fault=fault, now=now())
        return make_response(render("tokens.html", page), 400)
    expires = now() + days * 86_400_000_000 if days else None
    _, secret = services().people.add_token(user.id, label, scopes, expires)
    services().journal.note(user.name, "token-added", label)
    return make_response(render("tokens.html", TokensPage(services().profiles.tokens(user.id), secret, now=now())))


@blueprint.post("/settings/tokens/<int:token_id>/revoke")
def revoke_token(token_id: int) -> Response:
    """Make a token worthless."""
    user = auth.signed_in()
    services().profiles.revoke(user.id, token_id)
    services().journal.note(user.name, "token-revoked", str(token_id))
    return redirect(url_for("accounts.tokens"), 303)
