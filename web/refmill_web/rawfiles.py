"""Bytes of repositories and runs as they are: nothing in them runs here, and those that are large wait on the disk, not
in memory, for clients that take them slowly."""

from __future__ import annotations

import mimetypes
import tempfile
import threading
from collections.abc import Callable

from flask import make_response, request
from werkzeug.wrappers import Response
from werkzeug.wsgi import wrap_file

from refmill import errors
from refmill_web import security
from refmill_web.services import services

RAW_LIMIT = 64 << 20
IN_MEMORY = 1 << 20
"""Bytes up to which a file is simply held."""
PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"})
_one_large = threading.Lock()


def plain(name: str, read: Callable[[int], bytes]) -> Response:
    """What `read` gives, up to a limit in bytes: pictures and text are shown, the rest is downloaded.

    Raises LimitExceeded above `RAW_LIMIT`, and what `read` raises.
    """
    try:
        data = read(IN_MEMORY)
        response: Response = make_response(data)
        start = data[:8000]
    except errors.LimitExceeded:
        response, start = _large(read)
    guessed = mimetypes.guess_type(name)[0]
    if guessed in PICTURES:
        response.content_type = guessed
    elif b"\0" not in start:
        response.content_type = "text/plain; charset=utf-8"
    else:
        response.content_type = "application/octet-stream"
        response.headers.set("Content-Disposition", "attachment", filename=name)
    response.headers["Content-Security-Policy"] = security.SANDBOX
    return response


def _large(read: Callable[[int], bytes]) -> tuple[Response, bytes]:
    """Read one at a time and put it into a file without a name, which goes when the answer has gone."""
    file = tempfile.TemporaryFile(dir=services().settings.path("tmp"))  # noqa: SIM115 - the server closes it
    with _one_large:
        data = read(RAW_LIMIT)
        file.write(data)
        size, start = len(data), data[:8000]
        del data
    file.seek(0)
    response = Response(wrap_file(request.environ, file, 1 << 20), direct_passthrough=True)
    response.content_length = size
    response.call_on_close(file.close)
    return response, start
