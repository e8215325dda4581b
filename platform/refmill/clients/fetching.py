"""GET from addresses that other people chose: with limits of size and time, and never from inside this network.

The rule to keep: a connection is made to the very address that was checked, also after a redirect; a name is resolved
once, so that it cannot mean something else the second time.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urljoin, urlsplit

from refmill import errors
from refmill.texts import text

REDIRECTS = 5
SILENCE_SECONDS = 30.0
"""A server that says nothing for so long is given up."""
GRACE_SECONDS, SLOWEST = 60.0, 64 << 10
"""After the grace, an object must have come with so many bytes a second: a drip would hold its thread for ever."""
SAID_BYTES = 16 << 10
"""What is read of an answer that is no file: its code and its words."""
_BLOCK = 1 << 20
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")
"""All that IANA has given out of IPv6; Python counts some of the rest, such as site-local addresses, as global."""
_MOVED = frozenset({301, 302, 303, 307, 308})


class _Pinned(http.client.HTTPConnection):
    """A connection to an address that was checked, for the host that was asked for."""

    def __init__(self, host: str, port: int, address: str, context: ssl.SSLContext | None) -> None:
        super().__init__(host, port, timeout=SILENCE_SECONDS)
        self._address, self._context = address, context

    def connect(self) -> None:
        """Connect past name resolution, and check the certificate for the host."""
        plain = socket.create_connection((self._address, self.port), SILENCE_SECONDS)
        try:
            self.sock = self._context.wrap_socket(plain, server_hostname=self.host) if self._context else plain
        except OSError:
            plain.close()
            raise


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said in place of a file; the names of `headers` are in small letters."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


def download(
    url: str, target: Path, *, limit: int, user: str = "", password: str = "", private: bool = False,
    stopping: Callable[[], bool] = lambda: False,
) -> None:  # fmt: skip
    """Make the new file `target` of what lies at `url`, all of it.

    Raises NotFound where nothing lies there, Forbidden where the server lets nobody in, and else as `get` does. On an
    error no file is left.
    """
    login = base64.b64encode(f"{user}:{password}".encode()).decode() if user else ""
    headers = {"Authorization": f"Basic {login}"} if login else {}
    said = get(url, target, limit=limit, headers=headers, private=private, stopping=stopping)
    if said is None:
        return
    if said.status in (404, 410):
        raise errors.NotFound(text("there is nothing at %(url)s", url=said.url))
    if said.status in (401, 403):
        raise errors.Forbidden(
            text("%(where)s answered: %(detail)s", where=said.url, detail=str(said.status)),
            text("It may want another user or password than .dvc/config has for it."),
        )
    raise _broken(said.url, str(said.status))


def get(
    url: str, target: Path, *, limit: int, headers: Mapping[str, str], private: bool = False,
    stopping: Callable[[], bool] = lambda: False, redirects: int = REDIRECTS,
) -> Answer | None:  # fmt: skip
    """Make the new file `target` of what lies at `url`; what the server said if that is no file. `headers` are sent to
    no other host; without `redirects` one is an answer like others.

    Raises Forbidden for an address that is not asked (of another kind than http and https, or inside this network
    unless `private`), LimitExceeded above `limit` bytes, Unavailable for everything else that goes wrong, and when
    `stopping`. On an error no file is left.
    """
    home = urlsplit(url)
    try:
        for _ in range(redirects + 1):
            parts = urlsplit(url)
            same = (parts.scheme, parts.netloc) == (home.scheme, home.netloc)  # credentials go nowhere else
            with _answer(parts, headers if same else {}, private=private) as answer:
                if redirects and answer.status in _MOVED:
                    url = _next(url, answer.headers.get("Location", ""))
                    continue
                if answer.status != 200:
                    told = {name.lower(): value for name, value in answer.headers.items()}
                    return Answer(url, answer.status, told, _words(answer))
                _keep(answer, target, url, limit, stopping)
                return None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _broken(url, str(error) or type(error).__name__) from error
    raise _broken(url, str(text("too many redirects")))


@contextmanager
def _answer(parts: SplitResult, more: Mapping[str, str], *, private: bool) -> Iterator[http.client.HTTPResponse]:
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise errors.Forbidden(text("%(url)s is no address of http or https", url=parts.geturl()))
    port = parts.port or (443 if parts.scheme == "https" else 80)
    address = _checked(parts.hostname, port, private=private)
    context = ssl.create_default_context() if parts.scheme == "https" else None
    connection = _Pinned(parts.hostname, port, address, context)
    headers = {"User-Agent": "refmill", "Accept-Encoding": "identity", **more}
    try:
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), headers=headers)
        with connection.getresponse() as answer:
            yield answer
    finally:
        connection.close()


def _checked(host: str, port: int, *, private: bool) -> str:
    """The address of a host, if all that it has are on the public internet (or `private` are allowed, too)."""
    found = [str(item[4][0]) for item in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for address in found:
        if not (private or _is_public(address)):
            raise errors.Forbidden(
                text("%(host)s is an address inside this network, which is not asked for data", host=host),
                text("Whoever runs this Refmill can allow that with the setting `remotes`."),
            )
    return found[0]


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):  # an IPv4 address in another coat
        if parsed in _NAT64:
            parsed = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        else:
            parsed = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else parsed)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed not in _UNICAST:
        return False
    return parsed.is_global and not parsed.is_multicast


def _next(url: str, location: str) -> str:
    if not location:
        raise _broken(url, str(text("a redirect to nowhere")))
    following = urljoin(url, location)
    if url.startswith("https:") and following.startswith("http:"):
        raise errors.Forbidden(text("%(url)s leads away from https", url=url))
    return following


def _keep(answer: http.client.HTTPResponse, target: Path, url: str, limit: int, stopping: Callable[[], bool]) -> None:
    began, size = time.monotonic(), 0
    try:
        with target.open("xb") as file:
            while block := answer.read1(_BLOCK):
                size += len(block)
                if size > limit:
                    raise errors.LimitExceeded(text("an object may have %(limit)s bytes here", limit=limit))
                if time.monotonic() - began > GRACE_SECONDS + size / SLOWEST:
                    raise _broken(url, str(text("it is too slow")))
                if stopping():
                    raise errors.Unavailable(text("the platform is stopping"))
                file.write(block)
            if answer.length:  # what was announced and has not come
                raise _broken(url, str(text("it broke off")))
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _words(answer: http.client.HTTPResponse) -> bytes:
    """The beginning of an answer that is no file."""
    body, end = b"", time.monotonic() + SILENCE_SECONDS
    while len(body) < SAID_BYTES and time.monotonic() < end and (block := answer.read1(SAID_BYTES)):
        body += block
    return body[:SAID_BYTES]


def _broken(url: str, why: str) -> errors.Unavailable:
    return errors.Unavailable(text("%(url)s cannot be read: %(detail)s", url=url, detail=why))
