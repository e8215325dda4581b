"""Requests that never end, come a byte at a time, or claim more than they send: the others are answered meanwhile."""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from raw import answer, basic, connection
from watching import Watch

from platforms import Platform, new_copy

MANY = 200
"""Twice as many as the server has threads."""
SHA = "1" * 40
WORDS = f"{'0' * 40} {SHA} refs/heads/main\0 report-status".encode()
COMMANDS = b"%04x%s0000PACK" % (len(WORDS) + 4, WORDS)


@pytest.fixture(scope="module")
def target(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A public repository with a large file."""
    copy = new_copy(tmp_path_factory.mktemp("slow") / "copy", {"large": "x" * (20 << 20)})
    copy.git("push", "--quiet", platform.url("alice/slow", "alice"), "main")
    platform.refmill("repo", "change", "alice/slow", "--public")
    return "slow"


def heads(platform: Platform, name: str) -> dict[str, bytes]:
    """Requests without their ends, of strangers and of those who may write."""
    mine, chunked = basic(platform), "Transfer-Encoding: chunked\r\n"
    receive = "Content-Type: application/x-git-receive-pack-request\r\n"
    md5 = hashlib.md5(b"x", usedforsecurity=False).hexdigest()
    requests = {
        "a page": ("/api/v1/login", chunked + "Content-Type: application/json\r\n", b"1\r\n{\r\n"),
        "a form": ("/login", "Content-Length: 900000\r\nContent-Type: application/x-www-form-urlencoded\r\n", b"a"),
        "a push": (f"/alice/{name}.git/git-receive-pack", receive + mine + "Content-Length: 4000000000\r\n", COMMANDS),
        "a push in chunks": (
            f"/alice/{name}.git/git-receive-pack", receive + mine + chunked, b"%x\r\n%s\r\n" % (len(COMMANDS), COMMANDS),
        ),
        "an object": (f"/alice/{name}.dvc/files/md5/{md5[:2]}/{md5[2:]}", mine + "Content-Length: 10000000000\r\n", b"x"),
        "an object in chunks": (f"/alice/{name}.dvc/files/md5/{md5[:2]}/{md5[2:]}", mine + chunked, b"1\r\nx\r\n"),
    }  # fmt: skip
    return {
        what: f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode() + begun
        for what, (path, headers, begun) in requests.items()
    }


@contextlib.contextmanager
def held(platform: Platform, requests: list[bytes]) -> Iterator[list[socket.socket]]:
    """So many connections with a request that goes no further."""
    with contextlib.ExitStack() as kept:
        clients = []
        for request in requests:
            clients.append(kept.enter_context(connection(platform)))
            clients[-1].sendall(request)
        yield clients


def drip(clients: list[socket.socket], piece: bytes) -> None:
    """One more byte of each."""
    for client in clients:
        with contextlib.suppress(OSError):
            client.sendall(piece)


def test_bodies_that_never_end_keep_nobody_out(watched: Watch, platform: Platform, target: str) -> None:
    requests = list(heads(platform, target).values())
    with held(platform, [requests[number % len(requests)] for number in range(MANY)]) as clients:
        for _ in range(2):
            drip(clients, b"1\r\nx\r\n")
            watched.check("bodies without end")
            with urllib.request.urlopen(f"{platform.address}/login", timeout=5) as page:
                assert page.status == 200


def test_answers_that_nobody_takes_keep_nobody_out(watched: Watch, platform: Platform, target: str) -> None:
    asked = f"GET /alice/{target}/raw/main/large HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with held(platform, [asked] * MANY):
        watched.check("answers that nobody takes")


def test_clients_that_never_close_keep_nobody_waiting(watched: Watch, platform: Platform) -> None:
    asked = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with held(platform, [asked] * 50) as clients:
        watched.check("clients that never close")
        assert all(answer(client).endswith(b"}\n") for client in clients)


@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.parametrize("what", ["a page", "a push in chunks", "an object"])
def test_who_is_too_slow_gives_way_to_a_push(
    watched: Watch, platform: Platform, target: str, name: str, what: str, tmp_path: Path
) -> None:
    copy = new_copy(tmp_path / "copy", {"readme": "x\n"})
    with held(platform, [heads(platform, target)[what]] * MANY) as clients:
        pushing = subprocess.Popen(
            ["git", "push", "--quiet", platform.url(f"alice/{name}", "alice"), "main"], cwd=copy.path
        )
        until = time.monotonic() + 200
        while pushing.poll() is None and time.monotonic() < until:
            drip(clients, b"1\r\nx\r\n" if what != "an object" else b"x")
            watched.check(what)
            time.sleep(1)
        assert pushing.wait(1) == 0


@pytest.mark.parametrize(
    ("what", "length", "told"),
    [
        ("a form", 10_000_000_000, b"413"),
        ("a push", 10_000_000_000, b"413"),
        ("an object", 100_000_000_000, b"413"),
    ],
)
def test_what_claims_to_be_too_large_is_refused_at_once(
    watched: Watch, platform: Platform, target: str, what: str, length: int, told: bytes
) -> None:
    head, _, _ = heads(platform, target)[what].partition(b"\r\n\r\n")
    said = re.sub(rb"Content-Length: \d+", b"Connection: close\r\nContent-Length: %d" % length, head)
    with connection(platform) as client:
        client.sendall(said + b"\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        assert told in answer(client)


def test_a_request_that_is_cut_off_is_told_so(watched: Watch, platform: Platform) -> None:
    for begun in (b"GET / HTTP/1.1\r\nHost: lo", b"POST /login HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"):
        with connection(platform) as client:
            client.sendall(begun)
            client.shutdown(socket.SHUT_WR)
            assert b"The request ended early, or came too slowly." in answer(client)
