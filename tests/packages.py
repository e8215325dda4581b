"""A small package, the index that has it, and an HTTP proxy on the way there: real ones, on sockets of this machine."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import io
import select
import socket
import ssl
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PAGE = b'<a href="small-1.0-py3-none-any.whl">small-1.0-py3-none-any.whl</a>'


def wheel() -> bytes:
    """A package of one module and one program."""
    files = {
        "small.py": b"WORD = 'wheels'\ndef main(): print(WORD)\n",
        "small-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: small\nVersion: 1.0\n",
        "small-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "small-1.0.dist-info/entry_points.txt": b"[console_scripts]\nsmalltool = small:main\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}\n"
        for name, data in files.items()
    )
    files["small-1.0.dist-info/RECORD"] = (record + "small-1.0.dist-info/RECORD,,\n").encode()
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return whole.getvalue()


@contextlib.contextmanager
def package_index(certificate: tuple[Path, Path] | None = None, host: str = "127.0.0.1") -> Iterator[str]:
    """The address of an index with the one wheel; over TLS with `certificate` (and its key)."""
    whole = wheel()

    class Answers(_Quiet):
        def do_GET(self) -> None:
            found = {"/simple/small/": PAGE, "/simple/small/small-1.0-py3-none-any.whl": whole}.get(self.path)
            self.answer(404 if found is None else 200, found or b"")

        do_HEAD = do_GET  # noqa: N815 - so it is found

    with _served(Answers, certificate, host) as port:
        yield f"http{'s' if certificate else ''}://{host}:{port}/simple/"


@dataclass
class Proxy:
    """What a proxy was asked for: methods and addresses. It finds every name at the address `leads_to`."""

    leads_to: str
    login: str = ""
    port: int = 0
    asked: list[str] = field(default_factory=list)
    refused: int = 0

    def admits(self, said: str | None) -> bool:
        """Whether somebody who says that in Proxy-Authorization may go through."""
        return not self.login or said == "Basic " + base64.b64encode(self.login.encode()).decode()


@contextlib.contextmanager
def http_proxy(login: str = "", host: str = "127.0.0.1") -> Iterator[Proxy]:
    """An HTTP proxy with CONNECT, for those who bring `login` (USER:PASSWORD)."""
    made = Proxy(host, login)

    class Passes(_Quiet):
        def admitted(self) -> bool:
            made.asked.append(f"{self.command} {self.path}")
            if made.admits(self.headers["Proxy-Authorization"]):
                return True
            made.refused += 1
            self.answer(407, b"", {"Proxy-Authenticate": "Basic realm=x"})
            return False

        def do_CONNECT(self) -> None:
            if not self.admitted():
                return
            with socket.create_connection((made.leads_to, int(self.path.rpartition(":")[2]))) as there:
                self.send_response(200)
                self.end_headers()
                _join(self.connection, there)
            self.close_connection = True

        def do_GET(self) -> None:
            if not self.admitted():
                return
            parts = urlsplit(self.path)
            there = http.client.HTTPConnection(made.leads_to, parts.port or 80, timeout=20)
            with contextlib.closing(there):
                there.request(self.command, parts.path, headers={"Host": parts.netloc})
                answer = there.getresponse()
                kind = {"Content-Type": answer.getheader("Content-Type", "text/html")}
                self.answer(answer.status, answer.read(), kind)

        do_HEAD = do_GET  # noqa: N815 - so it is found

    with _served(Passes, None, host) as made.port:
        yield made


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        kind = "text/html" if self.path.endswith("/") else "application/octet-stream"
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def _served(handler: Any, certificate: tuple[Path, Path] | None, host: str) -> Iterator[int]:
    server = ThreadingHTTPServer((host, 0), handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def _join(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until one side is through."""
    while True:
        for ready in select.select([one, other], [], [], 20)[0] or [None]:
            data = ready.recv(65536) if ready is not None else b""
            if not data:
                return
            (other if ready is one else one).sendall(data)
