"""Following a run over a real WebSocket: states, lines, the end; who may, and how many."""

import errno
import json
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from simple_websocket import Client, ConnectionClosed, Server
from werkzeug.serving import make_server
from wsproto.events import CloseConnection

from fakes.web_world import World
from refmill.model.people import Repository
from refmill.model.runs import Run
from refmill_web.views import live
from refmill_web.views.live import FULL, REFUSED, SEATS


@pytest.fixture
def address(world: World) -> Iterator[str]:
    """The pages, served on loopback."""
    server = make_server("127.0.0.1", 0, world.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def open_socket(
    world: World, address: str, run: Run, query: str = "", user: str | None = "alice", **headers: str
) -> Client:
    if user is not None:
        cookie = world.browser(user).get_cookie("refmill_session")
        assert cookie
        headers["Cookie"] = f"refmill_session={cookie.value}"
    return Client(f"ws://{address}/ws/runs/{run.id}{query}", headers=headers)


def receive(client: Client, wanted: str, seconds: float = 10.0) -> dict[str, Any]:
    """The next message of that type."""
    while True:
        body = client.receive(timeout=seconds)
        assert body is not None, f"no {wanted} within {seconds} s"
        message: dict[str, Any] = json.loads(body)
        if message["type"] == wanted:
            return message


def lines(message: dict[str, Any]) -> list[str]:
    return ["".join(piece["t"] for piece in row["p"]) for row in message["rows"]]


def closing(client: Client) -> int:
    """With which code the server closes."""
    try:
        while client.receive(timeout=10) is not None:
            pass
        pytest.fail("it stayed open")
    except ConnectionClosed as closed:
        reason = closed.reason
    # A close that came in one packet with the handshake's answer lies unread in the client's buffer.
    late = [event.code for event in client.ws.events() if isinstance(event, CloseConnection)]
    return int(late[0] if late else reason)


def test_a_run_is_followed_to_its_end(world: World, churn: Repository, address: str) -> None:
    run = world.run(churn)
    world.logs.print(run, "train", "first")
    client = open_socket(world, address, run, "?stage=train&attempt=1&line=1")
    state = receive(client, "state")
    assert (state["status"], state["headline"]) == ("running", "Running 1 of 2")
    assert lines(receive(client, "log")) == ["first"]

    world.logs.print(run, "train", "second", "third")
    more = receive(client, "log")
    assert (lines(more), more["next"]) == (["second", "third"], 4)

    world.finish(run, {"auc": 1})
    assert receive(client, "state")["status"] == "succeeded"
    assert receive(client, "end") == {"type": "end"}
    closing(client)


def test_a_run_that_rings_all_the_time_is_not_read_all_the_time(
    world: World, churn: Repository, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    plain = live.news_of_state
    monkeypatch.setattr(live, "news_of_state", lambda run_id, seat: (looks.append(run_id), plain(run_id, seat))[1])
    run = world.run(churn)
    client = open_socket(world, address, run)
    receive(client, "state")
    for _ in range(200):
        world.bell.ring(f"run:{run.id}")
        time.sleep(0.005)
    world.finish(run, {})
    assert receive(client, "state")["status"] == "succeeded"
    assert len(looks) < 50
    client.close()


def test_a_browser_that_comes_back_gets_only_what_it_lacks(world: World, churn: Repository, address: str) -> None:
    run = world.run(churn)
    world.logs.print(run, "train", "a", "b", "c")
    client = open_socket(world, address, run, "?stage=train&attempt=1&line=3")
    assert lines(receive(client, "log")) == ["c"]
    client.close()


def test_plain_requests_tell_the_same(world: World, churn: Repository) -> None:
    run = world.run(churn)
    world.logs.print(run, "train", "a")
    told = world.browser().get(f"/ws/runs/{run.id}.json?stage=train&attempt=1&line=1").get_json()
    assert [message["type"] for message in told] == ["state", "log"]
    assert world.browser("bob").get(f"/ws/runs/{run.id}.json").status_code == 404


@pytest.mark.parametrize("user", ["bob", None])
def test_strangers_are_refused(world: World, churn: Repository, address: str, user: str | None) -> None:
    assert closing(open_socket(world, address, world.run(churn), user=user)) == REFUSED


def test_a_foreign_page_is_refused(world: World, churn: Repository, address: str) -> None:
    run = world.run(churn)
    assert closing(open_socket(world, address, run, Origin="https://evil.example")) == REFUSED
    own = open_socket(world, address, run, Origin="http://127.0.0.1")  # this client names no port in Host
    assert receive(own, "state")
    own.close()


@pytest.mark.parametrize("user", ["alice", "bob"])
def test_a_browser_that_is_gone_when_it_is_answered_is_no_fault(
    world: World, churn: Repository, address: str, user: str, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    tried = threading.Event()

    def gone(socket: Server, *_: Any) -> None:
        tried.set()
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))  # its reader has closed the descriptor meanwhile

    monkeypatch.setattr(Server, "send", gone)
    monkeypatch.setattr(Server, "close", gone)
    client = open_socket(world, address, world.run(churn), user=user)
    assert tried.wait(10)
    with pytest.raises(ConnectionClosed):
        client.receive(timeout=10)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_when_all_seats_are_taken_the_next_one_is_told(
    world: World, churn: Repository, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(world.app.extensions, SEATS, threading.BoundedSemaphore(1))
    run = world.run(churn)
    first = open_socket(world, address, run)
    receive(first, "state")
    assert closing(open_socket(world, address, run)) == FULL
    world.finish(run, {})
    receive(first, "end")
    closing(first)
    seats: threading.Semaphore = world.app.extensions[SEATS]
    assert seats.acquire(timeout=20), "the seat is free again, a moment after the socket was closed"
    seats.release()
    again = open_socket(world, address, run)
    assert receive(again, "state")["status"] == "succeeded"
    closing(again)
