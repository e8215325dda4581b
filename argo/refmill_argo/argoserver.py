"""The Argo Server over its HTTP API: it tells what Argo keeps in a database of its own, and Kubernetes does not show.

The rule to keep: every answer has an end in bytes and in seconds, certificates are always verified, a token is sent to
nobody who could be listened to, and a server that did not answer is not asked again at once.
"""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlencode, urlsplit

import urllib3

from refmill import errors
from refmill.clients.addresses import loopback
from refmill.texts import Text, text
from refmill_argo.cluster import Thing

CONNECT, READ, WHOLE = 5.0, 15.0, 30.0
"""Seconds to reach it, between two pieces of an answer, and for all of them."""
PAUSE = 5.0
"""Seconds in which a server that did not answer is not asked again: looks at runs do not wait for it one by one."""
LIMIT = 64 << 20
"""Bytes of an answer: a Workflow of 3,000 pods has some ten million."""
PIECE = 1 << 16
REASON = 600
"""Characters of what it says that are handed on."""
TOKEN = 64 << 10
"""Bytes of a file with a token."""
FIELDS = "metadata.name,metadata.uid,metadata.labels,status.phase,status.message,status.nodes"
"""What is read of a Workflow."""
_WRITTEN = re.compile(r"[!-~]+")


class ArgoServer:
    """`cluster.Archive` for one namespace; also what `refmill doctor` asks."""

    def __init__(self, address: str, namespace: str, token: Path | None, trusted: ssl.SSLContext) -> None:
        self.address = address.rstrip("/")
        self._namespace, self._token = namespace, token
        self._pool = urllib3.PoolManager(
            ssl_context=trusted, maxsize=4, retries=False, timeout=urllib3.Timeout(connect=CONNECT, read=READ)
        )
        self._silent = 0.0
        self._why: errors.Unavailable | None = None

    def workflow(self, name: str) -> Thing:
        return self._ask("GET", f"{self._workflows}/{quote(name, safe='')}", {"fields": FIELDS})

    def set_node(self, workflow: str, node: str, phase: Literal["Succeeded", "Failed"]) -> Thing:
        chosen = re.sub(r"([\\,=])", r"\\\1", node)
        body = {"namespace": self._namespace, "name": workflow, "nodeFieldSelector": f"id={chosen}", "phase": phase}
        return self._ask("PUT", f"{self._workflows}/{quote(workflow, safe='')}/set", body=body)

    def version(self) -> str:
        """Argo's version, from a server that lets us read Workflows. Raises as the others do."""
        found = self._ask("GET", "/api/v1/version")
        self._ask("GET", self._workflows, {"listOptions.limit": "1", "fields": "metadata,items.metadata.name"})
        return str(found.get("version") or "?")[:REASON]

    @property
    def _workflows(self) -> str:
        return f"/api/v1/workflows/{quote(self._namespace, safe='')}"

    def _ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Mapping[str, str] | None = None
    ) -> Thing:  # fmt: skip
        if self._why is not None and time.monotonic() < self._silent:
            raise errors.Unavailable(self._why.message, self._why.remedy)
        try:
            found = self._answer(method, path, query, body)
        except errors.Unavailable as error:
            self._silent, self._why = time.monotonic() + PAUSE, error
            raise
        self._why = None
        return found

    def _answer(self, method: str, path: str, query: Mapping[str, str] | None, body: Mapping[str, str] | None) -> Thing:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "refmill"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {token(self._token)}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        end = time.monotonic() + WHOLE
        try:
            response = self._pool.request(
                method, self.address + path + (f"?{urlencode(query)}" if query else ""), headers=headers,
                body=None if body is None else json.dumps(body).encode(), preload_content=False, redirect=False,
            )  # fmt: skip
            said = _whole(response, end)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            detail = f"{type(error).__name__}: {error}"[:REASON]
            raise errors.Unavailable(text("the Argo Server does not answer: %(detail)s", detail=detail)) from error
        try:
            found = json.loads(said)
        except (ValueError, RecursionError):
            found = None
        if response.status == 200 and isinstance(found, dict):
            return found
        raise self._refusal(response.status, found)

    def _refusal(self, status: int, found: Any) -> errors.RefmillError:
        """What an answer means that is no Workflow."""
        if status == 429 or status >= 500:
            detail = str(found.get("message") or status) if isinstance(found, dict) else str(status)
            return errors.Unavailable(text("the Argo Server does not answer: %(detail)s", detail=detail[:REASON]))
        if not isinstance(found, dict):
            return errors.Unavailable(
                text("what answers at %(address)s is no Argo Server", address=self.address),
                text("Set `argo_server` to its address, with the path if it has one, as https://argo.example.org."),
            )
        detail = str(found.get("message") or status)[:REASON]
        if status == 401:
            return errors.Unavailable(
                text("the Argo Server does not take our token: %(detail)s", detail=detail),
                text("Put one of a service account into the file that `argo_server_token` names."),
            )
        if status == 404:
            return errors.NotFound(text("the Argo Server has no such thing: %(detail)s", detail=detail))
        return errors.WrongUse(text("the Argo Server refused it: %(detail)s", detail=detail))


def connect(address: str, namespace: str, *, token_file: str = "", ca: str = "") -> ArgoServer:
    """The Argo Server at an address. Raises WrongUse for settings with which nobody may, or can, be asked."""
    parts = urlsplit(address)
    if token_file and parts.scheme != "https" and not loopback(parts.hostname or ""):
        raise errors.WrongUse(
            text(
                "the Argo Server's address %(address)s is not https, and a token would be sent there", address=address
            ),
            text("Set an https address in `argo_server`, or no `argo_server_token` if the server wants none."),
        )
    try:
        trusted = ssl.create_default_context(cafile=ca or None)
    except OSError as error:  # also what is no certificate
        raise errors.WrongUse(
            text("%(path)s, which the setting argo_server_ca names, cannot be used: %(detail)s", path=ca,
                 detail=error.strerror or str(error)),
            text("It holds the certificate of the authority that signed the Argo Server's, as PEM."),
        ) from error  # fmt: skip
    return ArgoServer(address, namespace, Path(token_file) if token_file else None, trusted)


def token(path: Path) -> str:
    """The token in a file, as it is now: those of service accounts change. Raises WrongUse."""
    try:
        with path.open("rb") as file:
            written = file.read(TOKEN).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _no_token(path, (isinstance(error, OSError) and error.strerror) or "no ASCII") from error
    found = written.removeprefix("Bearer").strip()  # `argo auth token` prints it so
    if not _WRITTEN.fullmatch(found):
        raise _no_token(path, "no token")
    return found


def _no_token(path: Path, detail: str) -> errors.WrongUse:
    said = text("the token for the Argo Server cannot be read from %(file)s: %(detail)s", file=str(path), detail=detail)
    return errors.WrongUse(said, text("Look at the file that argo_server_token names."))


def _whole(response: urllib3.BaseHTTPResponse, end: float) -> bytes:
    """All of an answer. Raises Unavailable where it has no end."""
    said = bytearray()
    try:
        while piece := response.read1(PIECE):
            said += piece
            if len(said) > LIMIT:
                raise errors.Unavailable(_endless(f"{LIMIT >> 20} MiB"))
            if time.monotonic() > end:
                raise errors.Unavailable(_endless(f"{WHOLE:g} s"))
    except BaseException:
        response.close()  # what is left of it is not to be read by whoever has the connection next
        raise
    response.release_conn()
    return bytes(said)


def _endless(limit: str) -> Text:
    return text("the Argo Server's answer has no end within %(limit)s", limit=limit)
