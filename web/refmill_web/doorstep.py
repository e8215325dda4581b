"""In front of the pages: what Flask breaks down on before any handler of ours is asked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from refmill.texts import text

_HOST = re.compile(r"(?!.{260})(?:[\w-]{1,63}(?:\.[\w-]{1,63})*\.?|\[[0-9A-Fa-f:.]{2,45}\])?(?::[0-9]{0,5})?", re.ASCII)
"""A host's name or address, and a port."""
_NO_HOST = text("The Host header names no host.")


class Doorstep:
    """WSGI around `application`: refuses a Host header that names no host; no page could be made with it."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Refuse, or hand on."""
        if not _HOST.fullmatch(environ.get("HTTP_HOST", "localhost")):
            words = f"{_NO_HOST}\n".encode()
            kind = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(words)))]
            start_response("400 Bad Request", kind)
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [words]
        return self._application(environ, start_response)
