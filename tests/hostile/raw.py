"""Requests by hand: connections to a platform, and pushes that no git would make."""

from __future__ import annotations

import base64
import socket
import subprocess
from collections.abc import Iterable
from urllib.parse import urlsplit

from commits import Files, Repository

from platforms import Platform


def connection(platform: Platform) -> socket.socket:
    """A new connection."""
    where = urlsplit(platform.address)
    return socket.create_connection((where.hostname, where.port), timeout=60)


def basic(platform: Platform, user: str = "alice") -> str:
    """The header that lets a user in."""
    return f"Authorization: Basic {base64.b64encode(f'{user}:{platform.user(user)}'.encode()).decode()}\r\n"


def answer(client: socket.socket) -> bytes:
    """What comes back, to the end of the connection."""
    return b"".join(iter(lambda: client.recv(1 << 16), b""))


def pushed(platform: Platform, name: str, pieces: Iterable[bytes], size: int, timeout: float = 60) -> bytes:
    """Send a push of so many bytes as they are; what comes back."""
    head = f"POST /alice/{name}.git/git-receive-pack HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{basic(platform)}"
    head += f"Content-Type: application/x-git-receive-pack-request\r\nContent-Length: {size}\r\n\r\n"
    with connection(platform) as client:
        client.settimeout(timeout)
        client.sendall(head.encode())
        for piece in pieces:
            client.sendall(piece)
        return answer(client)


def push(platform: Platform, name: str, repository: Repository, files: Files, *options: str) -> str:
    """Push a commit of these files; what git said."""
    command = [
        "git",
        "push",
        *options,
        platform.url(f"alice/{name}", "alice"),
        f"{repository.commit(files)}:refs/heads/main",
    ]
    done = subprocess.run(command, cwd=repository.path, capture_output=True, text=True, check=False, timeout=100)
    return done.stderr
