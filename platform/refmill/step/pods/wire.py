"""Requests to the platform and to the store, over connections that stay open, again and again until they succeed.

The rule to keep: the token goes to the platform alone. An address that a store signed admits by itself.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import threading
import time
from typing import IO, Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Union
from urllib.parse import urljoin, urlsplit

from refmill.step.pods.halting import Halt

PATIENCE = 1800.0  # seconds in which the platform may be away: an upgrade, a node that is lost
FIRST, LONGEST = 0.25, 15.0  # seconds between two tries, which double
CONNECTING = 15.0  # seconds: who asks while the pods behind a service change is answered by nobody
SILENCE = 120.0  # seconds without a byte after which a connection is given up
REDIRECTS = 5
BLOCK = 256 << 10  # bytes of a file that are sent at a time
BODY = 512 << 20  # bytes of an answer that is held in memory: a listing of two million files
JSON = "application/json"
NEAR_AGAIN = frozenset({408, 425, 429})

Origin = Tuple[str, str]


class Piece(NamedTuple):
    """The bytes of a file from `start` on, `size` of them."""

    path: str
    start: int
    size: int


Body = Union[bytes, str, Piece]
"""Bytes, or the path of a file that is sent, or a piece of one."""


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Dict[str, Any]:
        """The object in it; {} if there is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


class Refused(Exception):
    """The answer is no, and would be no again."""

    def __init__(self, answer: Answer) -> None:
        told = answer.json()
        self.words = str(told.get("message") or answer.body[:500].decode("utf-8", "replace").strip())
        super().__init__("HTTP %d: %s" % (answer.status, self.words))
        self.answer, self.status = answer, answer.status


class Away(Exception):
    """There was no answer for as long as one waits for it."""


class Unreadable(Exception):
    """A file that is to be sent cannot be read."""


class Wire:
    """Speaks with `server` for the run that `token` admits to. For any thread."""

    def __init__(self, server: str, token: str, halt: Halt, patience: float = PATIENCE) -> None:
        self._server = server.rstrip("/") + "/"
        self._authorization = "Bearer " + token
        self._own = {_origin(self._server)}
        self._halt, self._patience = halt, patience
        self._idle: Dict[Origin, List[http.client.HTTPConnection]] = {}
        self._guard = threading.Lock()

    def trust(self, url: str) -> None:
        """The platform said that `url` is its own, too."""
        self._own.add(_origin(self.address(url)))

    def address(self, url: str) -> str:
        """`url` as the whole address that it is, seen from the platform."""
        return urljoin(self._server, url.lstrip("/") if url.startswith("/") else url)

    def joined(self, base: str, url: str) -> str:
        """Where `base` leads on to."""
        return urljoin(base, url)

    def get(self, url: str) -> Dict[str, Any]:
        """An object in JSON. Raises Refused, Away."""
        return self.ask("GET", url).json()

    def post(self, url: str, document: Mapping[str, Any]) -> Dict[str, Any]:
        """The object that answers another one; large ones go packed. Raises Refused, Away."""
        body, headers = json.dumps(document).encode(), {"Content-Type": JSON}
        if len(body) > PACKED:
            body, headers["Content-Encoding"] = _packed(body), "gzip"
        return self.ask("POST", url, body, headers).json()

    def ask(self, method: str, url: str, body: Body = b"", headers: Optional[Mapping[str, str]] = None) -> Answer:
        """One request until it has an answer. Raises Refused, Away, Unreadable."""
        return self.insist(lambda: self.once(method, url, body, headers))

    def once(self, method: str, url: str, body: Body = b"", headers: Optional[Mapping[str, str]] = None) -> Answer:
        """One try of one request, whatever the answer. Raises OSError, HTTPException, Unreadable."""
        return self._whole(method, self.address(url), body, headers or {})

    def insist(self, attempt: Callable[[], Answer], came: Callable[[], int] = lambda: 0) -> Answer:
        """Try until it works, with growing pauses. Who says when to ask again is there, and may let one wait for as
        long as they like; so is who sent something: `came` tells how much so far. Raises Refused, Away."""
        pause, until, had = FIRST, time.monotonic() + self._patience, came()
        while True:
            after = 0.0
            try:
                answer = attempt()
            except (OSError, http.client.HTTPException) as error:
                why = "%s: %s" % (type(error).__name__, error)
            else:
                if answer.status < 400:
                    return answer
                if answer.status < 500 and answer.status not in NEAR_AGAIN:
                    raise Refused(answer)
                why = str(Refused(answer))
                told = answer.headers.get("retry-after", "")
                if told.isdigit():
                    after, until, pause = float(told), time.monotonic() + self._patience, FIRST
            if came() > had:
                pause, until, had = FIRST, time.monotonic() + self._patience, came()
            if self._halt.passed(until):
                raise Away(why)
            # Not all pods of a run at the same moment.
            self._halt.sleep(min(max(pause, after), LONGEST) * random.uniform(0.7, 1.0))  # noqa: S311
            pause = min(pause * 2, LONGEST)

    @contextlib.contextmanager
    def reading(
        self, method: str, url: str, body: Body = b"", headers: Optional[Mapping[str, str]] = None
    ) -> Iterator[http.client.HTTPResponse]:
        """One try of one request, whose answer is read in the block; the connection is kept if all of it was.
        Raises OSError, HTTPException."""
        url = self.address(url)
        origin = _origin(url)
        connection, response = self._begun(method, url, origin, body, self._headed(url, body, headers or {}))
        whole = False
        try:
            yield response
            whole = response.isclosed() and not response.will_close
        finally:
            if whole:
                with self._guard:
                    self._idle.setdefault(origin, []).append(connection)
            else:
                connection.close()

    def drop(self) -> None:
        """Give up all connections."""
        with self._guard:
            for connections in self._idle.values():
                for connection in connections:
                    connection.close()
            self._idle.clear()

    def _whole(self, method: str, url: str, body: Body, headers: Mapping[str, str]) -> Answer:
        for _ in range(REDIRECTS):
            with self.reading(method, url, body, headers) as response:
                data = response.read(BODY)
                found = {name.lower(): value for name, value in response.getheaders()}
                if not response.isclosed() and response.read(1):
                    raise http.client.HTTPException("the answer is too long")
            if response.status not in (301, 302, 303, 307, 308) or "location" not in found:
                return Answer(response.status, found, data)
            url = urljoin(url, found["location"])
        raise http.client.HTTPException("too many redirections")

    def _headed(self, url: str, body: Body, headers: Mapping[str, str]) -> Dict[str, str]:
        found = {"User-Agent": "refmill-runner", "Accept-Encoding": "identity", **headers}
        if _origin(url) in self._own:
            found["Authorization"] = self._authorization
        if isinstance(body, Piece):
            found["Content-Length"] = str(body.size)
        elif isinstance(body, str):
            try:
                found["Content-Length"] = str(os.path.getsize(body))
            except OSError as error:
                raise Unreadable(str(error)) from error
        return found

    def _begun(
        self, method: str, url: str, origin: Origin, body: Body, headers: Mapping[str, str]
    ) -> Tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        while True:
            with self._guard:
                idle = self._idle.get(origin)
                connection = idle.pop() if idle else None
            used = connection is not None
            connection = connection or _connection(origin)
            try:
                return connection, _answered(connection, method, url, body, headers)
            except (ConnectionError, http.client.HTTPException):
                connection.close()
                if not used:  # else the other side has let it go meanwhile, which says nothing
                    raise
            except BaseException:
                connection.close()
                raise


PACKED = 64 << 10  # bytes above which a document is packed


def _packed(body: bytes) -> bytes:
    import zlib  # noqa: PLC0415 - most pods never need it

    packer = zlib.compressobj(6, zlib.DEFLATED, 31)  # 31: as gzip does
    return packer.compress(body) + packer.flush()


def _origin(url: str) -> Origin:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _connection(origin: Origin) -> http.client.HTTPConnection:
    """An open connection. Raises OSError, HTTPException."""
    made: http.client.HTTPConnection
    if origin[0] == "https":
        made = http.client.HTTPSConnection(origin[1], timeout=CONNECTING, blocksize=BLOCK)
    elif origin[0] == "http":
        made = http.client.HTTPConnection(origin[1], timeout=CONNECTING, blocksize=BLOCK)
    else:
        raise http.client.HTTPException("%s:// cannot be asked" % origin[0])
    try:
        made.connect()
        made.timeout = SILENCE
        made.sock.settimeout(SILENCE)
    except BaseException:
        made.close()
        raise
    return made


def _answered(
    connection: http.client.HTTPConnection, method: str, url: str, body: Body, headers: Mapping[str, str]
) -> http.client.HTTPResponse:
    parts = urlsplit(url)
    target = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    try:
        if isinstance(body, Piece):
            with _opened(body.path) as file:
                connection.request(method, target, _Reader(file, body), dict(headers))
        elif isinstance(body, str):
            with _opened(body) as file:
                connection.request(method, target, file, dict(headers))
        else:
            connection.request(method, target, body or None, dict(headers))
    except (BrokenPipeError, ConnectionResetError):
        # Who refuses a large body answers before it has come, and closes.
        try:
            return connection.getresponse()
        except (OSError, http.client.HTTPException):
            pass
        raise
    return connection.getresponse()


class _Reader:
    """Reads a piece of a file as if it were all of it."""

    def __init__(self, file: IO[bytes], piece: Piece) -> None:
        self._file, self._left = file, piece.size
        file.seek(piece.start)

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes. Raises Unreadable if the file is shorter than it was."""
        block = self._file.read(self._left if size < 0 else min(size, self._left))
        if self._left and not block:
            raise Unreadable("%s has become shorter" % self._file.name)
        self._left -= len(block)
        return block


def _opened(path: str) -> IO[bytes]:
    try:
        return open(path, "rb")
    except OSError as error:
        raise Unreadable(str(error)) from error
