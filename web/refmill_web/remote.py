"""Each repository's data as a DVC remote over HTTP, at /OWNER/NAME.dvc, as plain WSGI.

What DVC (3.67, dvc-http 2.32) asks: existence is a GET dropped after the headers; an upload is a POST in chunks without
length or checksum; a pull first asks for `files/md5` itself; its run-cache never travels over HTTP. Basic
authentication comes with every request. Of an answer DVC shows the status and the reason phrase, so the reason tells
what is wrong.

The rules to keep: a path is served only if the whole of it fits one pattern, and nobody learns of a repository's
existence before the gate has admitted them.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Literal, Protocol
from wsgiref.types import StartResponse, WSGIEnvironment

from refmill import errors
from refmill.formats.hashing import OLD
from refmill.model.people import is_name
from refmill.ports.objects import Read, Store, Underway
from refmill.texts import Text, text
from refmill_web import batch, packed

LOG = logging.getLogger(__name__)

ADDRESS = re.compile(r"/[^/]+/[^/]+\.dvc(/|$)")
"""Begins what is asked of a remote."""
_PATH = re.compile(r"/(?P<owner>[^/]+)/(?P<name>[^/]+)\.dvc(?:/(?P<rest>.*))?", re.ASCII | re.DOTALL)
_OBJECT = re.compile(r"files/md5/(?P<head>[0-9a-f]{2})/(?P<tail>[0-9a-f]{30}(?:\.dir)?)", re.ASCII)
_OLD_OBJECT = re.compile(r"(?P<head>[0-9a-f]{2})/(?P<tail>[0-9a-f]{30}(?:\.dir)?)", re.ASCII)  # of DVC 2
_FOLDERS = frozenset({"", "files", "files/", "files/md5", "files/md5/"})
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
_BATCH = "batch"
_METHODS = "GET, HEAD, POST, PUT"
CHUNK = 1 << 20
_DRAINED = 16 << 20  # bytes of a refused upload that are read away, so that the refusal reaches the sender
_HEADERS = [
    # Whatever a person stored must never run as a page of this site.
    ("Content-Security-Policy", "sandbox; default-src 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "private, no-cache"),  # a role may be taken back at any time
]

_EMPTY = ("Content-Length", "0")
_AGAIN = ("Retry-After", "5")  # seconds: large objects take minutes to be read

Headers = list[tuple[str, str]]


class Admitted(Protocol):
    """Leave to enter."""

    @property
    def repository_id(self) -> str:
        """The repository's id."""

    @property
    def run(self) -> str:
        """The run that comes with its token, "" for people."""


class Gate(Protocol):
    """Knows users, repositories and roles."""

    def admit(self, owner: str, name: str, service: Literal["read", "write"], authorization: str | None) -> Admitted:
        """Let somebody in, or raise Unauthorized, Forbidden, NotFound."""


class DataRemote:
    """The WSGI application. `stores` gives a repository's store by its id; `arrived` is told (repository id, md5) of
    each upload once it is kept; `limit` is the size of the largest object in bytes, `address` the platform's."""

    def __init__(
        self, gate: Gate, stores: Callable[[str], Store], arrived: Callable[[str, str], object], *, limit: int,
        address: str = "",
    ) -> None:  # fmt: skip
        self._gate, self._stores, self._arrived, self._limit = gate, stores, arrived, limit
        self._address = address

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        try:
            return self._answer(environ, start_response)
        except errors.RefmillError as error:
            _drain(environ)
            extra: Headers = []
            if isinstance(error, errors.Unauthorized):
                extra.append(("WWW-Authenticate", 'Basic realm="Refmill", charset="UTF-8"'))
            if isinstance(error, Underway):
                extra.append(_AGAIN)
            return _say(environ, start_response, error.status, error.message, error.remedy, extra)

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        if method not in ("GET", "HEAD", "POST", "PUT"):
            _drain(environ)
            refusal = text("a data remote is read and added to, nothing else")
            return _say(environ, start_response, 405, refusal, extra=[("Allow", _METHODS)])
        # WSGI hands the bytes of the path over as Latin-1; what is not ASCII fits no pattern.
        found = _PATH.fullmatch(environ.get("PATH_INFO", ""))
        if found is None or not is_name(found["owner"]) or not is_name(found["name"]):
            raise _nothing()
        writes = method in ("POST", "PUT") and found["rest"] != _BATCH
        admitted = self._gate.admit(
            found["owner"], found["name"], "write" if writes else "read", environ.get("HTTP_AUTHORIZATION")
        )
        rest = found["rest"] or ""
        if rest == _BATCH and method == "POST":
            return self._batch(environ, start_response, found["owner"], found["name"])
        wanted, old = _OBJECT.fullmatch(rest), _OLD_OBJECT.fullmatch(rest)
        if found_object := wanted or old:
            md5 = (OLD if old else "") + found_object["head"] + found_object["tail"]
            if writes:
                return self._take(environ, start_response, admitted.repository_id, md5)
            return _give(environ, start_response, self._stores(admitted.repository_id), md5)
        if writes:
            raise errors.Forbidden(
                text("only objects can be pushed here: files/md5/xx/..."),
                text("The run-cache is written by Refmill alone."),
            )
        if rest in _FOLDERS:
            return _say(environ, start_response, 200, text("OK"), text("This is a DVC remote; `dvc pull` reads it."))
        raise _nothing()

    def _batch(self, environ: WSGIEnvironment, start_response: StartResponse, owner: str, name: str) -> Iterable[bytes]:
        """Where many objects are fetched from and sent to; whoever comes here may read."""
        announced = _length(environ)
        if announced is None or announced > batch.LONGEST:
            raise errors.LimitExceeded(text("a request for objects has at most %(limit)s bytes", limit=batch.LONGEST))
        folded = packed.is_packed(environ.get("HTTP_CONTENT_ENCODING", "identity"))
        read = _reader(environ, announced)
        body = bytearray()
        while block := read(CHUNK):
            body += block
        asked = batch.parse(packed.unfolded(bytes(body), batch.LONGEST) if folded else bytes(body))
        admitted = self._gate.admit(
            owner, name, "read" if asked.operation == "download" else "write", environ.get("HTTP_AUTHORIZATION")
        )
        store, base = self._stores(admitted.repository_id), f"{self._address}/{owner}/{name}.dvc"
        found = batch.answer(store, asked, base, self._limit, admitted.run)
        for md5 in batch.arrived(asked.operation, found):
            self._tell(admitted.repository_id, md5)
        told = json.dumps({"objects": found}).encode()
        start_response("200 OK", [*_HEADERS, ("Content-Type", "application/json"), ("Content-Length", str(len(told)))])
        return (told,)

    def _tell(self, repository_id: str, md5: str) -> None:
        try:
            # Also for one that was here: a run may have begun to wait for it just now.
            self._arrived(repository_id, md5)
        except errors.Unavailable as error:
            LOG.warning("nobody could be told that %s has arrived in %s: %s", md5, repository_id, error)

    def _take(
        self, environ: WSGIEnvironment, start_response: StartResponse, repository_id: str, md5: str
    ) -> Iterable[bytes]:
        if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
            raise errors.WrongUse(text("objects are sent as they are, without an encoding"))
        announced = _length(environ)
        if announced is not None and announced > self._limit:
            raise errors.LimitExceeded(text("an object may have %(limit)s bytes here", limit=self._limit))
        try:
            new = self._stores(repository_id).take(md5, _reader(environ, announced), limit=self._limit)
        except OSError as error:
            # The sender went away, or sent broken chunks; if it was our disk, the log tells.
            LOG.warning("upload of %s to %s broke off: %s", md5, repository_id, error)
            return _say(environ, start_response, 400, text("the upload broke off"))
        self._tell(repository_id, md5)
        start_response("201 Created" if new else "200 OK", [*_HEADERS, _EMPTY])
        return ()


def _give(environ: WSGIEnvironment, start_response: StartResponse, store: Store, md5: str) -> Iterable[bytes]:
    """An object, or the part of it that is asked for. Its MD5 is its ETag: what has that name never changes."""
    etag = f'"{md5}"'
    try:
        found = store.open(md5)
    except errors.NotFound:
        # Most of what DVC asks for at a push. Without a body: DVC reads none, and gives up the connection if one comes.
        start_response("404 Not Found", [*_HEADERS, _EMPTY])
        return ()
    size = found.size
    headers = [*_HEADERS, ("ETag", etag), ("Accept-Ranges", "bytes"), ("Content-Type", "application/octet-stream")]
    headers.append(("Content-Disposition", "attachment"))
    if etag in environ.get("HTTP_IF_NONE_MATCH", ""):
        found.close()
        start_response("304 Not Modified", headers)
        return ()
    part = _part(environ, size, etag)
    start, end = part or (0, size)
    if part and start >= size:
        found.close()
        headers += [("Content-Range", f"bytes */{size}"), ("Content-Length", "0")]
        start_response("416 Range Not Satisfiable", headers)
        return ()
    headers.append(("Content-Length", str(end - start)))
    if part:
        headers.append(("Content-Range", f"bytes {start}-{end - 1}/{size}"))
    start_response("206 Partial Content" if part else "200 OK", headers)
    if environ["REQUEST_METHOD"] == "HEAD" or start == end:
        found.close()
        return ()
    # A server's own wrapper sends the file from the kernel; it stops at Content-Length.
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper and found.file is not None and end == size:
        found.file.seek(start)
        sent: Iterable[bytes] = wrapper(found.file, CHUNK)
        return sent
    return found.blocks(start, end)


def _part(environ: WSGIEnvironment, size: int, etag: str) -> tuple[int, int] | None:
    """Start and end (exclusive) of what is asked for; the start is `size` if that is nothing. None if the whole is
    asked for, or something other than one plain range, which may be passed over (RFC 9110 §14.2)."""
    found = _RANGE.fullmatch(environ.get("HTTP_RANGE", ""))
    if found is None or found[1] == found[2] == "" or environ.get("HTTP_IF_RANGE", etag) != etag:
        return None
    if not found[1]:
        return size - min(int(found[2]), size), size
    start, last = int(found[1]), int(found[2] or size)
    return (min(start, size), min(last + 1, size)) if start <= last or not found[2] else None


def _length(environ: WSGIEnvironment) -> int | None:
    value = environ.get("CONTENT_LENGTH") or ""
    return int(value) if value.isascii() and value.isdigit() else None


def _reader(environ: WSGIEnvironment, announced: int | None) -> Read:
    """A function that reads on in the body, and raises OSError if it ends before its announced end."""
    stream = environ["wsgi.input"]
    if announced is None:
        if not environ.get("wsgi.input_terminated"):
            raise errors.WrongUse(text("this server cannot tell where the upload ends: send its length"))
        read: Read = stream.read
        return read
    left = announced

    def read_announced(size: int) -> bytes:
        nonlocal left
        block: bytes = stream.read(min(size, left)) if left else b""
        if left and not block:
            raise ConnectionError("the body is shorter than announced")
        left -= len(block)
        return block

    return read_announced


def _drain(environ: WSGIEnvironment) -> None:
    """Read a bounded part of a body nobody wants: who closes with unread bytes resets the connection, and the sender
    sees that instead of the answer."""
    announced = _length(environ)
    if announced is None and not (environ.get("wsgi.input_terminated") and environ.get("HTTP_TRANSFER_ENCODING")):
        return
    left = min(_DRAINED, _DRAINED if announced is None else announced)
    try:
        while left > 0 and (block := environ["wsgi.input"].read(min(CHUNK, left))):
            left -= len(block)
    except OSError:
        pass  # the sender is gone


def _say(
    environ: WSGIEnvironment,
    start_response: StartResponse,
    status: int,
    message: Text,
    remedy: Text | None = None,
    extra: Headers | None = None,
) -> Iterable[bytes]:
    """Answer in words; also in the reason phrase, which is what DVC shows."""
    phrase = HTTPStatus(status).phrase if status < 400 else _one_line(str(message))
    body = "".join(f"{line}\n" for line in (str(message), str(remedy) if remedy else "") if line).encode()
    headers = [*_HEADERS, ("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response(f"{status} {phrase}", [*headers, *(extra or [])])
    return () if environ["REQUEST_METHOD"] == "HEAD" else (body,)


def _one_line(words: str) -> str:
    plain = words.replace("“", '"').replace("”", '"').encode("ascii", "replace").decode()
    return re.sub(r"[^ -~]+", " ", plain)[:200]


def _nothing() -> errors.NotFound:
    return errors.NotFound(text("there is nothing here"))
