"""Clients that are slow by intent: what they get, and how long they may take."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from refmill_web.processes import pace
from refmill_web.processes.pace import Paced
from refmill_web.processes.porter import PEEKED, Look, Porter, look, seen


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


HEAD = b"POST /x HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize(
    ("request_", "found"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n", Look.UNFINISHED),
        (b"\r\n\r\n", Look.UNFINISHED),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Look.QUICK),
        (b"x" * PEEKED, Look.QUICK),
        (HEAD + b"Content-Length: 3\r\n\r\nab", Look.UNFINISHED),
        (HEAD + b"content-length:3\r\n\r\nabc", Look.QUICK),
        (HEAD + b"Content-Length: 99999\r\n\r\nabc", Look.LONG),
        (HEAD + b"Content-Length: x\r\n\r\nabc", Look.LONG),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", Look.LONG),
        (HEAD + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n", Look.LONG),
        (b"GET /a/b/raw/main/x HTTP/1.1\r\n\r\n", Look.LONG),
        (b"GET /a/b.%64vc/files/md5/00/00 HTTP/1.1\r\n\r\n", Look.LONG),
        (b"GET /a/b.git/info/refs?service=git-upload-pack HTTP/1.1\r\n\r\n", Look.QUICK),
        (b"POST /a/b.git/git-upload-pack HTTP/1.1\r\nContent-Length: 0\r\n\r\n", Look.LONG),
        (b"GET /ws/runs/x HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", Look.LONG),
    ],
)
def test_what_may_take_long_is_told_from_what_cannot(request_: bytes, found: Look) -> None:
    assert seen(request_) is found


def test_a_request_behind_another_is_looked_at_with_what_was_read_of_it(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    assert look(ours, b"GET / HT") is Look.UNFINISHED
    theirs.sendall(b"TP/1.1\r\n\r\n")
    assert look(ours, b"GET / HT") is Look.QUICK


@pytest.mark.parametrize("every", [0.02, 60.0], ids=["a byte now and then", "nothing"])
def test_a_body_that_drips_is_given_up_while_others_wait(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch, every: float
) -> None:
    monkeypatch.setattr(pace, "PRESSED", 0.3)
    monkeypatch.setattr(pace, "_SLICE", 0.05)
    ours, theirs = pair
    pressed, over = threading.Event(), threading.Event()
    paced = Paced(ours, pressed.is_set)

    def drip() -> None:
        while not over.wait(every):
            theirs.send(b"x")

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        theirs.sendall(b"x" * 100)
        assert paced.recv(1000)
        threading.Timer(0.2, pressed.set).start()
        with pytest.raises(TimeoutError, match="too slowly"):
            all(iter(lambda: paced.recv(1), b""))
        assert pressed.is_set()
    finally:
        over.set()
        dripping.join()


def test_a_body_that_comes_fast_may_be_as_long_as_it_likes(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "PRESSED", 0.1)
    ours, theirs = pair
    paced, got = Paced(ours, lambda: True), 0
    sending = threading.Thread(target=lambda: [(theirs.sendall(b"x" * 1000), time.sleep(0.02)) for _ in range(20)])
    sending.start()
    while got < 20_000:
        got += len(paced.recv(1000))
    sending.join()


def test_whoever_waits_longest_makes_room() -> None:
    porter, left = Porter(seconds=60), list[int]()
    gone = threading.Event()
    pairs = [socket.socketpair() for _ in range(3)]
    try:
        for number, (ours, _) in enumerate(pairs):

            def leave(number: int = number) -> None:
                left.append(number)
                gone.set()

            porter.keep(ours, lambda ours=ours: look(ours), lambda: None, leave)
        porter.make_room()
        assert gone.wait(10)
        assert left == [0]
    finally:
        for ours, theirs in pairs:
            ours.close()
            theirs.close()


def test_who_ends_in_the_middle_does_not_stand_there_any_longer() -> None:
    porter, gone = Porter(seconds=60), threading.Event()
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(b"GET / HTTP/1.1\r\nHost: lo")
        porter.keep(ours, lambda: look(ours), lambda: None, gone.set)
        assert not gone.wait(0.2)
        theirs.close()
        assert gone.wait(10)


def test_a_connection_that_was_closed_at_that_moment_leaves_and_ends_nobody_else(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    porter, gone, come = Porter(seconds=60), threading.Event(), threading.Event()
    ours, theirs = pair
    closed = socket.socket()
    closed.close()
    porter.keep(closed, lambda: Look.UNFINISHED, lambda: None, gone.set)
    assert gone.wait(10)
    porter.keep(ours, lambda: look(ours), come.set, lambda: None)
    theirs.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert come.wait(10)
