"""Asks the resolver's server."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from pathlib import Path

from refmill import errors
from refmill.clients import codec
from refmill.clients.resolver import frames
from refmill.clients.sockets import address
from refmill.ports.resolver import Checked, Source
from refmill.problems import Place, Problem
from refmill.texts import Text, text

_CONNECT_SECONDS = 3.0
_LIMITS = {
    "time": text("Reading the project's files took too long"),
    "memory": text("Reading the project's files took too much memory"),
    "crash": text("The project's files could not be read: the reader broke down on them"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the files say; the questions that led to it as JSON (b"" where it would not be the same again: a limit was
    met), and the bytes of the answer."""

    checked: Checked
    questions: bytes = b""
    size: int = 0


class SocketResolver:
    """The `Resolver` port over the unix socket at `path`. One connection a request; safe to use from many threads."""

    def __init__(self, path: Path, *, timeout: float = 30.0) -> None:
        self._path = path
        self._timeout = timeout

    def check(self, source: Source) -> Checked:
        """All problems at once. Raises Unavailable if the server is silent, NotFound for an unknown source."""
        return self.ask(source).checked

    def ask(self, source: Source) -> Answer:
        """The same, with what it was made of. A child that somebody killed says nothing of the files, unless it happens
        to the next one, too: then it was the kernel, for want of memory."""
        found = self._ask(source)
        return found if found is not None else self._ask(source) or _limited("memory")

    def _ask(self, source: Source) -> Answer | None:
        deadline = time.monotonic() + self._timeout
        try:
            with self._connect(deadline) as connection:
                frames.send(connection, b"S", codec.to_json(source).encode())
                kind, body = frames.receive(connection, deadline)
                questions = b""
                if kind == b"Q":
                    questions = body
                    kind, body = frames.receive(connection, deadline)
        except (OSError, EOFError) as error:
            raise _unavailable(str(error) or type(error).__name__) from error
        if kind == b"A":
            return Answer(codec.from_json(Checked, body), questions, len(body))
        if kind == b"L":
            return None if body == b"killed" else _limited(body.decode("ascii", "replace"))
        raise errors.NotFound(text("%(detail)s", detail=body.decode("utf-8", "replace")))

    def _connect(self, deadline: float) -> socket.socket:
        """A connection; the server may be starting, so that a refusal is tried again for a moment."""
        until = min(deadline, time.monotonic() + _CONNECT_SECONDS)
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.settimeout(max(until - time.monotonic(), 0.1))
                with address(self._path.parent, self._path.name) as place:
                    connection.connect(place)
            except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
                connection.close()
                if time.monotonic() >= until:
                    raise
                time.sleep(0.05)
            except OSError:
                connection.close()
                raise
            else:
                return connection


def _unavailable(detail: str) -> errors.Unavailable:
    return errors.Unavailable(
        text("The resolver does not answer: %(detail)s", detail=detail),
        text("It starts again by itself; try once more in a few seconds."),
    )


def _limited(reason: str) -> Answer:
    message: Text = _LIMITS.get(reason, _LIMITS["crash"])
    problem = Problem(
        "too-much",
        Place("dvc.yaml"),
        message,
        text("Look for a `matrix` or `foreach` that multiplies, for YAML aliases inside aliases, and for huge files."),
    )
    return Answer(Checked(None, problems=(problem,)))
