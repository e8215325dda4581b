"""What every answer carries so that a browser trusts it no further than it must."""

from __future__ import annotations

import secrets

from flask import Flask, Response, g, request

POLICY = "; ".join(  # noqa: FLY002 - one rule a line
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""No inline script or style, no eval, nothing from elsewhere."""

SANDBOX = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
"""For bytes that came from a repository: no script, an origin of its own."""


def install(app: Flask) -> None:
    """A request id before, headers after every request."""
    app.before_request(_number)
    app.after_request(_headers)


def _number() -> None:
    g.request_id = secrets.token_hex(6)


def _headers(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("Content-Security-Policy", POLICY)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
    headers.setdefault("X-Request-Id", g.get("request_id", ""))
    if request.endpoint == "static":
        return response
    headers.setdefault("Cache-Control", "no-store" if g.get("user") else "no-cache")
    headers.setdefault("Vary", "Accept-Language, Cookie")
    return response
