"""Answers at a standby's address until the platform itself does: it lives, and is not ready.

A few lines instead of a web server: nothing of a request matters but its address and whether a page is wanted.
"""

from __future__ import annotations

import html
import json
import select
import socket
import threading
import time
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Self

from refmill.clients.catalogues import translate
from refmill.texts import text

MOST = 64
"""Who is answered at a time; others are let go at once, and may come again."""
PATIENCE = 5.0
"""Seconds that a client has for all of it."""
HEAD = 16 << 10
"""Bytes of a head that are read."""
REST = 64 << 10
"""Bytes of a body that are read away, so that the answer is not lost with them."""
WORDS = text(
    "This server is a standby: another one is at work, and this one takes its place when that one ends. Try again in a "
    "moment."
)
LANGUAGES = ("en", "zh")


class Doorkeeper(AbstractContextManager["Doorkeeper"]):
    """Answers at a listening socket while the block lasts; those who come later wait in the socket's queue."""

    def __init__(self, listener: socket.socket, again: float) -> None:
        self._listener, self._again = listener, max(1, round(again))
        self._places = threading.Semaphore(MOST)
        self._ending, self._wake = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="doorkeeper", daemon=True)

    def __enter__(self) -> Self:
        self._listener.setblocking(False)  # who has come may have gone again
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wake.close()
        self._thread.join()
        self._ending.close()

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._listener, self._ending], [], [])
            if self._ending in ready:
                return
            with suppress(OSError):
                connection, _ = self._listener.accept()
                if self._places.acquire(blocking=False):
                    threading.Thread(target=self._answer, args=(connection,), daemon=True).start()
                else:
                    connection.close()

    def _answer(self, connection: socket.socket) -> None:
        try:
            with connection, suppress(OSError):
                until = time.monotonic() + PATIENCE
                head, body = _head(connection, until)
                if head:
                    connection.sendall(answer(head, self._again))
                    connection.shutdown(socket.SHUT_WR)
                while len(body) < REST and (piece := _piece(connection, until)):
                    body += piece
        finally:
            self._places.release()


def answer(head: bytes, again: int) -> bytes:
    """What is answered to a request with that head; to ask for again after so many seconds."""
    method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    wants_page = any(
        line.lower().startswith(b"accept:") and b"text/html" in line.lower() for line in head.split(b"\r\n")[1:]
    )
    words = [WORDS.to(translate(language)) for language in LANGUAGES]
    kind, status = "text/plain", "503 Service Unavailable"
    body = "".join(f"{line}\n" for line in words)
    if path == b"/healthz":
        kind, status, body = "application/json", "200 OK", json.dumps({"status": "ok", "standby": True}) + "\n"
    elif path == b"/readyz":
        kind, body = "application/json", json.dumps({"status": "unready", "missing": [], "standby": True}) + "\n"
    elif wants_page:
        kind, body = "text/html", _page(words)
    content = body.encode()
    lines = [
        f"HTTP/1.1 {status}", f"Content-Type: {kind}; charset=utf-8", f"Content-Length: {len(content)}",
        "Cache-Control: no-store", "X-Content-Type-Options: nosniff", "Content-Security-Policy: default-src 'none'",
        "Connection: close", *([] if status.startswith("200") else [f"Retry-After: {again}"]),
    ]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if method == b"HEAD" else content)


def _piece(connection: socket.socket, until: float) -> bytes:
    """The next bytes; none at the end. Raises OSError, also when it is time."""
    connection.settimeout(max(0.01, until - time.monotonic()))
    return connection.recv(HEAD)


def _head(connection: socket.socket, until: float) -> tuple[bytes, bytes]:
    """The head, empty if it did not come whole, and what came of the body with it."""
    found = b""
    while len(found) < HEAD and (piece := _piece(connection, until)):
        found += piece
        head, end, body = found.partition(b"\r\n\r\n")
        if end:
            return head, body
    return b"", b""


def _page(words: list[str]) -> str:
    paragraphs = "".join(
        f'<p lang="{language}">{html.escape(line)}</p>' for language, line in zip(LANGUAGES, words, strict=True)
    )
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><title>Refmill</title>'
    )
    return f"<!doctype html><html><head>{head}</head><body>{paragraphs}</body></html>\n"
