"""Pushes of some kilobytes that mean gigabytes: git is given seconds, memory and turns for them, and nothing stays."""

from __future__ import annotations

import http.client
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.git_gate import basic
from fakes.git_hosting import Client, Hosting
from packs import BLOB, COMMIT, bomb
from platforms import wait
from refmill_repos import unpacking, writers

LARGE = 200 << 20
LOOSE, KEPT = 40, 200
"""Below git's `unpackLimit` each object becomes a file, above it the pack is kept as it is."""


def sent(hosting: Hosting, full_name: str, body: bytes, user: str = "alice") -> bytes:
    """What a push of these bytes is answered with."""
    connection = http.client.HTTPConnection("127.0.0.1", hosting.port, timeout=100)
    kind = "application/x-git-receive-pack-request"
    connection.request(
        "POST", f"/{full_name}.git/git-receive-pack", body, {"Authorization": basic(user), "Content-Type": kind}
    )
    try:
        return connection.getresponse().read()
    finally:
        connection.close()


def unpackers(hosting: Hosting) -> list[int]:
    """The processes that unpack into one of the repositories."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            line, variables = (place / "cmdline").read_bytes(), (place / "environ").read_bytes()
        except OSError:
            continue
        if (b"unpack-objects" in line or b"index-pack" in line) and str(hosting.root).encode() in variables:
            found.append(int(place.name))
    return found


def seconds_of(pid: int) -> float:
    """The time of a processor that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def whole(git: Client, hosting: Hosting) -> Iterator[None]:
    """No git and no quarantine is left in the end, and all repositories are whole."""
    yield
    wait(lambda: not unpackers(hosting), "git ends", 30)
    for full_name in hosting.gate.ids:
        wait(lambda name=full_name: not list(writers.left(hosting.bare(name))), "what it made goes", 30)
        git("fsck", "--strict", "--no-dangling", cwd=hosting.bare(full_name))


@pytest.mark.parametrize(("count", "padding"), [(LOOSE, 0), (KEPT, 0), (LOOSE, 2 << 20)])
@pytest.mark.usefixtures("whole")
def test_a_push_that_takes_too_long_to_unpack_is_ended_and_told_so(
    git: Client, hosting: Hosting, work: Path, monkeypatch: pytest.MonkeyPatch, count: int, padding: int
) -> None:
    monkeypatch.setattr(unpacking, "SECONDS", 2.0)
    said, body = list[bytes](), bomb(BLOB, count, LARGE, padding=padding)
    pushing = threading.Thread(target=lambda: said.append(sent(hosting, "alice/bomb", body)))
    pushing.start()
    wait(lambda: unpackers(hosting), "git unpacks")
    git("ls-remote", hosting.url("alice/bomb"))
    pushing.join()
    allowed = int(2 + len(body) / (1 << 20))
    assert b"git took longer than %d seconds to unpack this push\nPush fewer commits at a time" % allowed in said[0]
    assert hosting.listener.pushes == []
    monkeypatch.undo()
    git("push", "-q", hosting.url("alice/bomb"), "main", cwd=work)


@pytest.mark.usefixtures("whole")
def test_it_is_ended_too_when_its_client_has_gone(hosting: Hosting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "SECONDS", 2.0)
    body = bomb(BLOB, KEPT, LARGE)
    head = (
        f"POST /alice/bomb.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nAuthorization: {basic('alice')}\r\n"
        f"Content-Type: application/x-git-receive-pack-request\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", hosting.port), timeout=20) as client:
        client.sendall(head.encode() + body)
        wait(lambda: unpackers(hosting), "git unpacks")
    wait(lambda: not unpackers(hosting), "git ends", 30)
    assert hosting.listener.pushes == []


@pytest.mark.parametrize("padding", [0, 2 << 20])
@pytest.mark.usefixtures("whole")
def test_a_push_that_is_not_whole_makes_no_objects(hosting: Hosting, padding: int) -> None:
    body = bomb(BLOB, LOOSE, LARGE, padding=padding)
    with socket.create_connection(("127.0.0.1", hosting.port), timeout=20) as client:
        head = (
            f"POST /alice/bomb.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nAuthorization: {basic('alice')}\r\n"
            f"Content-Type: application/x-git-receive-pack-request\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        client.sendall(head.encode() + body[:-1])
        wait(lambda: "alice/bomb" in hosting.gate.ids, "the push has begun")
        time.sleep(2)
        assert max([seconds_of(pid) for pid in unpackers(hosting)], default=0) < 0.3
    until = time.monotonic() + 2
    while time.monotonic() < until:  # it has gone, and will never send the rest
        assert max([seconds_of(pid) for pid in unpackers(hosting)], default=0) < 0.3


@pytest.mark.usefixtures("whole")
def test_pushes_of_one_user_take_turns_and_those_of_others_go_on(
    git: Client, hosting: Hosting, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "SECONDS", 12.0)
    bombs = [
        threading.Thread(target=sent, args=(hosting, f"alice/bomb{number}", bomb(BLOB, KEPT, LARGE)))
        for number in range(unpacking.OF_ONE)
    ]
    for one in bombs:
        one.start()
    wait(lambda: len(unpackers(hosting)) >= unpacking.OF_ONE, "git unpacks all of them")
    git("push", "-q", hosting.url("bob/small", "bob"), "main", cwd=work)
    monkeypatch.setattr(unpacking, "PATIENCE", 0.5)
    said = git("push", hosting.url("alice/small"), "main", cwd=work, fails=True)
    assert "remote: the server is busy with other pushes" in said
    assert [push.user for push in hosting.listener.pushes] == ["bob"]
    for one in bombs:
        one.join()
    git("push", "-q", hosting.url("alice/small"), "main", cwd=work)


@pytest.mark.parametrize("kind", [COMMIT, BLOB])
@pytest.mark.usefixtures("whole")
def test_objects_that_git_holds_all_at_once_are_bounded_together(
    hosting: Hosting, monkeypatch: pytest.MonkeyPatch, kind: int
) -> None:
    monkeypatch.setattr(unpacking, "MEMORY", 256 << 20)
    said = sent(hosting, "alice/bomb", bomb(kind, 10, 40 << 20))
    assert (b"Out of memory" in said) == (kind == COMMIT), said
    assert len(hosting.listener.pushes) == (kind == BLOB)
