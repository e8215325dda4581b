"""Stands between somebody and an HTTP server, a request at a time, and does what a test wants with each."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from typing import Literal, TypeAlias

Deed: TypeAlias = Literal["", "cut", "refuse"]
Wanted: TypeAlias = Callable[[str], Deed]


class Between:
    """Of each request, `METHOD /path`, `before` says what becomes of it: it is passed on, or cut off in the middle of
    its body, or refused. `after` is called once the server has it, before its answer is handed back."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._server, self._host = (host, port), host
        self._listening = socket.create_server((host, 0), backlog=64)
        self.requests: list[str] = []
        self.before: Wanted = lambda _: ""
        self.after: Callable[[str], object] = lambda _: None
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://{self._host}:{self._listening.getsockname()[1]}"

    def close(self) -> None:
        self._listening.close()

    def count(self, pattern: str) -> int:
        return sum(bool(re.search(pattern, request)) for request in self.requests)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), client.makefile("rb") as asked:
            head = [asked.readline()]
            while head[-1] not in (b"\r\n", b""):
                head.append(asked.readline())
            request = b" ".join(head[0].split()[:2]).decode()
            length = next((int(line[15:]) for line in head if line.lower().startswith(b"content-length:")), 0)
            self.requests.append(request)
            deed = self.before(request)
            if deed == "refuse":
                asked.read(length)
                client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            kept = [line for line in head[1:-1] if not line.lower().startswith((b"connection:", b"expect:"))]
            with socket.create_connection(self._server) as server:
                server.sendall(b"".join([head[0], *kept, b"Connection: close\r\n\r\n"]))
                left = length // 2 if deed == "cut" else length
                while left and (block := asked.read1(min(left, 1 << 16))):
                    server.sendall(block)
                    left -= len(block)
                if deed == "cut":
                    return
                answer = server.recv(1 << 16)
                self.after(request)
                while answer:
                    client.sendall(answer)
                    answer = server.recv(1 << 16)
