"""Forms can only be sent from our own pages.

Each browser has a random cookie; a form's token is an HMAC of it and of the session. A foreign page can make the
browser send the cookies, but can read neither them nor the token.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from urllib.parse import urlsplit

from flask import Flask, Response, g, request

from refmill import errors
from refmill.texts import text
from refmill_web import auth

COOKIE = "refmill_form"
FIELD = "csrf"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_WITHOUT_COOKIES = frozenset({"api.login"})
"""What reads no cookie and takes credentials from a JSON body: a foreign page gains nothing by sending it."""
_BY_TOKEN = frozenset({"pods"})
"""Blueprints that read no cookie and take a token from a header, which a foreign page does not have."""


def token() -> str:
    """The token for forms of this answer; makes the cookie where there is none yet."""
    seed = request.cookies.get(COOKIE, "")
    if not re.fullmatch(r"[\w-]{43}", seed):
        seed = g.get("form_seed") or secrets.token_urlsafe(32)
        g.form_seed = seed
    return _token(seed)


def _token(seed: str) -> str:
    session = request.cookies.get(auth.COOKIE, "")
    return hmac.new(seed.encode(), b"form\0" + session.encode(), hashlib.sha256).hexdigest()


def install(app: Flask) -> None:
    """Check every request that changes something; hand out the cookie."""
    app.before_request(_check)
    app.after_request(_hand_out)


def _check() -> None:
    if request.method in _SAFE or request.endpoint in _WITHOUT_COOKIES or request.blueprint in _BY_TOKEN:
        return
    seed = request.cookies.get(COOKIE, "")
    given = request.form.get(FIELD, "") or request.headers.get("X-Refmill-Form", "")
    if not own_origin() or not seed or not hmac.compare_digest(given.encode(), _token(seed).encode()):
        raise errors.Forbidden(
            text("This form is out of date, or was not sent from a page of this installation."),
            text("Go back, load the page again and send it once more. Cookies must be allowed."),
        )


def own_origin() -> bool:
    """Whether the request comes from one of our own pages, as far as the browser tells."""
    origin = request.headers.get("Origin")
    if origin is not None:
        return urlsplit(origin).netloc == request.host
    return request.headers.get("Sec-Fetch-Site", "same-origin") in {"same-origin", "none"}


def _hand_out(response: Response) -> Response:
    seed = g.get("form_seed")
    if seed:
        response.set_cookie(COOKIE, seed, httponly=True, samesite="Lax", secure=request.is_secure)
    return response
