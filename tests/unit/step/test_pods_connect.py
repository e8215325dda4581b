"""A pod that asks while nobody answers, as when the pods behind a service change, soon asks again."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from refmill.step.pods import wire
from refmill.step.pods.halting import Halt


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a port that takes no connections: the kernel drops what its queue has no room for."""
    waiting: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        for _ in range(3):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            waiting.append(one)
        yield f"http://127.0.0.1:{port}"
        for one in waiting:
            one.close()


def test_a_connection_that_is_not_taken_is_given_up_sooner_than_a_silent_one(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "CONNECTING", 0.5)
    with pytest.raises(TimeoutError):
        wire.Wire(silent, "secret", Halt()).once("GET", "/x")


def test_one_that_is_taken_may_be_silent_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "CONNECTING", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = wire._connection(("http", f"127.0.0.1:{listener.getsockname()[1]}"))
        assert made.sock.gettimeout() == wire.SILENCE
        made.close()


def test_what_is_no_http_is_not_asked() -> None:
    with pytest.raises(wire.http.client.HTTPException, match="cannot be asked"):
        wire.Wire("ftp://127.0.0.1", "secret", Halt()).once("GET", "/x")
