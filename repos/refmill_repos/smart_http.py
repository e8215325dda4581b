"""Git over HTTP as a plain WSGI application: `/OWNER/NAME.git/…`.

Source: gitprotocol-http(5) and gitprotocol-v2(5). The work is done by `git upload-pack` and `git receive-pack`; here
are the address, the door, the headers and the streams. Only the smart protocol is spoken.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs, quote

from refmill import errors
from refmill.texts import Text, Translate, text
from refmill_repos import children, unpacking
from refmill_repos.bodies import Body
from refmill_repos.commands import Head
from refmill_repos.exchanges import Exchange, Incoming
from refmill_repos.gate import Admission, Gate, PushListener, Service
from refmill_repos.hooks.channel import HookChannel
from refmill_repos.hooks.installing import install

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[[str, list[tuple[str, str]]], Any]

_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62})"
_ADDRESS = re.compile(rf"/(?P<owner>{_PART})/(?P<name>{_PART}?)\.git(?P<rest>/.*|)", re.ASCII | re.DOTALL)
_WITHOUT_GIT = re.compile(rf"/{_PART}/{_PART}/info/refs", re.ASCII)
_PROTOCOL = re.compile(r"[a-z0-9=.:-]{1,100}", re.ASCII)
_SERVICES: dict[str, Service] = {"git-upload-pack": "read", "git-receive-pack": "write"}
_REQUEST_LIMIT = 256 << 20
"""Bytes of a fetch request: its wants and haves."""
_SILENCE = 600.0
"""Seconds after which a client that sends and takes nothing is given up, so that it cannot hold a thread for ever."""
_ALLOWED = "1g"
"""Memory that git may ask for at once while it takes a push: a delta of some hundred bytes can mean any size. (Files
that honest clients send as deltas are smaller than 512 MB, git's core.bigFileThreshold.)"""
_NO_CACHE = [
    ("Cache-Control", "no-cache, max-age=0, must-revalidate"),
    ("Expires", "Fri, 01 Jan 1980 00:00:00 GMT"),
    ("Pragma", "no-cache"),
]
_REASONS = {
    200: "OK", 301: "Moved Permanently", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 409: "Conflict", 413: "Content Too Large", 415: "Unsupported Media Type",
    422: "Unprocessable Content", 500: "Internal Server Error", 503: "Service Unavailable",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Request:
    """What is asked for: the service, and whether it is its advertisement (`info/refs`)."""

    service: str
    advertise: bool
    protocol: str


class _Refused(Exception):
    """An answer that is no success, for reasons of HTTP alone."""

    def __init__(self, status: int, message: Text, headers: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(str(message))
        self.status, self.message, self.headers = status, message, list(headers)


class GitHTTP:
    """The WSGI application. `root` is the folder of the bare repositories (the hooks are put below it), `push_limit`
    the largest pack in bytes, `push_refs` how many refs a push may have, `translate` the language of what it says
    itself."""

    def __init__(
        self, *, gate: Gate, listener: PushListener, root: Path, push_limit: int = 4 << 30,
        push_refs: int = 5000, translate: Translate = str,
    ) -> None:  # fmt: skip
        self._gate, self._listener, self._translate = gate, listener, translate
        self._push_limit, self._push_refs = push_limit, push_refs
        root.mkdir(parents=True, exist_ok=True)
        self._hooks = install(root.absolute() / ".hooks")
        self._root = root
        self._turns = unpacking.Turns()

    @staticmethod
    def handles(path: str) -> bool:
        """Whether the (decoded) path of an address is for this application."""
        return bool(_ADDRESS.fullmatch(path) or _WITHOUT_GIT.fullmatch(path))

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return self._answer(environ, start_response)
        except _Refused as refused:
            return self._say(start_response, refused.status, [refused.message], refused.headers)
        except errors.Unauthorized as error:
            challenge = [("WWW-Authenticate", 'Basic realm="Refmill", charset="UTF-8"')]
            return self._say(start_response, 401, _words(error), challenge)
        except errors.RefmillError as error:
            return self._say(start_response, error.status, _words(error))

    def _answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace")
        if _WITHOUT_GIT.fullmatch(path) and not _ADDRESS.fullmatch(path):
            return self._redirect(environ, start_response, path)
        address = _ADDRESS.fullmatch(path)
        if address is None:
            raise _Refused(404, text("there is no repository at this address"))
        request = _understood(environ, address["rest"])
        authorization = environ.get("HTTP_AUTHORIZATION")
        admission = self._gate.admit(address["owner"], address["name"], _SERVICES[request.service], authorization)
        if admission.moved and _SERVICES[request.service] == "write":
            raise errors.Conflict(admission.moved)
        if (socket := environ.get("gunicorn.socket")) is not None:
            socket.settimeout(_SILENCE)
        head = None if request.advertise or request.service != "git-receive-pack" else Head(self._push_refs)
        exchange = self._started(environ, request, admission, head)
        kind = "advertisement" if request.advertise else "result"
        if not exchange.first and exchange.failed():
            status, words = (500, text("git failed to answer this request"))
            if isinstance(exchange.broken, errors.RefmillError):
                exchange.close()
                if head is None or not head.sideband:
                    raise exchange.broken
                start_response("200 OK", [("Content-Type", f"application/x-{request.service}-{kind}"), *_NO_CACHE])
                return [self._refusal(exchange.broken)]
            if exchange.broken:
                status, words = 400, text("the request broke off")
            elif not request.advertise and exchange.gave_up():
                status, words = 400, text("git ended this request without an answer: it is not what a git client sends")
            exchange.close()
            raise _Refused(status, words)
        start_response("200 OK", [("Content-Type", f"application/x-{request.service}-{kind}"), *_NO_CACHE])
        return _Answer(_preamble(request), exchange, lambda: self._ending(exchange, head))

    def _started(self, environ: Environ, request: _Request, admission: Admission, head: Head | None) -> Exchange:
        name = request.service.removeprefix("git-")
        limit = self._push_limit if head else _REQUEST_LIMIT
        # Commands and options come on top of the pack; git itself counts the pack and says so in words.
        body = None if request.advertise else Body(environ, limit + (64 << 20))
        command = ["git", *children.OPTIONS, "-c", f"receive.maxInputSize={self._push_limit}"]
        if head:
            command += [*unpacking.OPTIONS, *(() if body is None or body.small else unpacking.OF_LARGE)]
        command += ["-c", f"core.hooksPath={self._hooks}", name, "--stateless-rpc"]
        command += ["--advertise-refs"] if request.advertise else []
        command += ["--", str(admission.path.absolute())]
        user = admission.user or "anonymous"
        extra = {"GIT_COMMITTER_NAME": user, "GIT_COMMITTER_EMAIL": f"{user}@localhost"}
        if request.protocol:
            extra["GIT_PROTOCOL"] = request.protocol
        if head:
            extra["GIT_ALLOC_LIMIT"] = _ALLOWED
        push = None
        if head:
            channel = HookChannel(self._listener, admission, self._translate)
            push = Incoming(head, channel, functools.partial(self._turns.of, user))
            extra |= channel.environment
        return Exchange(
            command, children.environment(extra), body, root=self._root, place=admission.path.absolute(), push=push
        )

    def _ending(self, exchange: Exchange, head: Head | None) -> bytes:
        """What ends the answer of a git that was killed before it could: a client that was told something already, and
        not the end, waits for ever."""
        if head is None or not head.sideband or not exchange.killed:
            return b""
        if isinstance(exchange.broken, errors.RefmillError):
            return self._refusal(exchange.broken)
        return self._refusal(
            errors.Unavailable(text("git was killed while it took this push"), text("Push again, to be sure of it."))
        )

    def _refusal(self, error: errors.RefmillError) -> bytes:
        """The end of a push in git's own words, since git shows no page of an error to a pusher: one packet of the
        band that ends everything."""
        words = b"\3" + "\n".join(word.to(self._translate) for word in _words(error)).encode()
        return b"%04x%s0000" % (len(words) + 4, words)

    def _redirect(self, environ: Environ, start_response: StartResponse, path: str) -> Iterable[bytes]:
        """The address of the page works for git, too: git follows the redirect and remembers it."""
        place = f"{environ.get('SCRIPT_NAME', '')}{path.removesuffix('/info/refs')}.git/info/refs"
        query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
        location = [("Location", quote(place) + query)]
        return self._say(start_response, 301, [text("the repository's address ends in .git")], location)

    def _say(
        self, start_response: StartResponse, status: int, words: Iterable[Text],
        headers: Iterable[tuple[str, str]] = (),
    ) -> Iterable[bytes]:  # fmt: skip
        """A short answer in words; git prints plain text of the server as `remote:` lines."""
        body = "".join(f"{word.to(self._translate)}\n" for word in words).encode()
        kind = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
        start_response(f"{status} {_REASONS.get(status, 'Error')}", [*kind, *headers, *_NO_CACHE])
        return [body]


class _Answer:
    """The response's body, to which `ending` may add when git is over: `close` is called by every WSGI server, also
    when the client has gone away."""

    def __init__(self, preamble: bytes, exchange: Exchange, ending: Callable[[], bytes]) -> None:
        self._preamble, self._exchange, self._ending = preamble, exchange, ending

    def __iter__(self) -> Iterator[bytes]:
        if self._preamble:
            yield self._preamble
        yield from self._exchange
        self._exchange.close()
        if last := self._ending():
            yield last

    def close(self) -> None:
        self._exchange.close()


def _understood(environ: Environ, rest: str) -> _Request:
    """What a request asks for. Raises _Refused for all that is not the smart protocol."""
    method = environ.get("REQUEST_METHOD", "")
    if rest == "/info/refs":
        service = parse_qs(environ.get("QUERY_STRING", "")).get("service", [""])[-1]
        if service not in _SERVICES:
            raise _Refused(403, text("only git's smart HTTP protocol is spoken here: use git 1.6.6 or newer"))
        allowed = "GET"
    elif rest.removeprefix("/") in _SERVICES:
        service, allowed = rest.removeprefix("/"), "POST"
    else:
        raise _Refused(404, text("there is nothing at this address; a clone uses the address up to “.git”"))
    if method != allowed:
        raise _Refused(405, text("use %(method)s here", method=allowed), [("Allow", allowed)])
    if allowed == "POST" and environ.get("CONTENT_TYPE") != f"application/x-{service}-request":
        raise _Refused(415, text("a git client sends application/x-%(service)s-request", service=service))
    protocol = environ.get("HTTP_GIT_PROTOCOL", "")
    if service == "git-receive-pack" and "version=2" in protocol.split(":"):
        protocol = ""  # there is no version 2 of pushing
    return _Request(service, allowed == "GET", protocol if _PROTOCOL.fullmatch(protocol) else "")


def _preamble(request: _Request) -> bytes:
    """The line before an advertisement, which version 2 left out."""
    if not request.advertise or "version=2" in request.protocol.split(":"):
        return b""
    line = f"# service={request.service}\n"
    return f"{len(line) + 4:04x}{line}0000".encode()


def _words(error: errors.RefmillError) -> list[Text]:
    return [error.message, *([error.remedy] if error.remedy else [])]
