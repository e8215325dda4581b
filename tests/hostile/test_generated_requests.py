"""Requests made to do harm, from seeds: each to a real platform, which answers in words and goes on.

A failure names its seed; `python tests/hostile/asking.py SEED` prints the request. REFMILL_SEED begins elsewhere.
"""

from __future__ import annotations

import errno
import re
import socket
import time
from urllib.parse import urlsplit

import asking
import pytest
from tally import TALLY
from watching import FEW, FIRST, MANY, Watch

from platforms import Platform, new_copy

SECONDS = 20.0
"""Within which an answer, or the end of the connection, must come."""
LOOK = 10
"""After so many requests the platform is looked at; a fault's seed is one of them."""
FEWER = 7 * FEW // 10
BLOCK = 1000
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@pytest.fixture(scope="session")
def target(platform: Platform, watch: Watch, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A repository with one run, for requests that need something to be there."""
    copy = new_copy(tmp_path_factory.mktemp("target") / "copy", {"dvc.yaml": "stages:\n  a: {cmd: 'true'}\n"})
    copy.git("push", "--quiet", platform.url("alice/target", "alice"), "main")
    platform.ended("alice/target")
    return platform.tokens["alice"]


@pytest.mark.timeout(600)
def test_hostile_requests_are_answered(watched: Watch, platform: Platform, target: str) -> None:
    _all(FIRST, FEWER, watched, platform, target)


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("start", range(FIRST + FEWER, FIRST + MANY // 2, BLOCK))
def test_thousands_of_hostile_requests_are_answered(
    start: int, watched: Watch, platform: Platform, target: str
) -> None:
    _all(start, BLOCK, watched, platform, target)


def _all(first: int, count: int, watch: Watch, platform: Platform, token: str) -> None:
    for seed in range(first, first + count):
        sent = asking.make(seed, token)
        began = time.monotonic()
        answer = _ask(platform, sent)
        seconds = time.monotonic() - began
        assert seconds < SECONDS, seed
        found = STATUS.match(answer)
        TALLY.note("requests", {found[1].decode() if found else "the connection's end"}, seconds, seed)
        assert found or sent.cut, f"{seed}: {sent} {answer[:300]!r}"
        assert found is None or int(found[1]) < 500 or int(found[1]) == 501, (
            f"{seed}: {sent.data[:2000]!r} {answer[:1000]!r}"
        )
        assert b"Traceback" not in answer, seed
        assert b"root:" not in answer, seed
        if seed % LOOK == 0:
            watch.check(f"seeds {seed - LOOK + 1} to {seed}")


def _ask(platform: Platform, sent: asking.Sent) -> bytes:
    """What comes back, to the end of the connection; after a cut request that end is ours."""
    answer = b""
    where = urlsplit(platform.address)
    with socket.create_connection((where.hostname, where.port), timeout=SECONDS) as client:
        try:
            client.sendall(sent.data)
            if sent.cut:
                _hang_up(client)
            while piece := client.recv(1 << 16):
                answer = (answer + piece)[: 1 << 20]
        except (ConnectionResetError, BrokenPipeError):
            pass  # refused before it was sent: an answer too
    return answer


def _hang_up(client: socket.socket) -> None:
    """Say that nothing more comes, to whoever is there still: what came so far may have been refused already."""
    try:
        client.shutdown(socket.SHUT_WR)
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise
