"""Keeps connections outside until a request is there: a client that sends it slowly, or never, holds a socket and no
thread. And tells the requests that may hold a thread for long from those that cannot.

gunicorn gives a connection to a thread as soon as anything can be read of it, and the thread waits for the rest as long
as the client likes: as many half requests as there are threads keep everybody out.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote_to_bytes

SECONDS = 10.0
"""How long a request may take from its first moment on; those of people and git come at once."""
PEEKED = 64 << 10
"""Bytes that are looked at: more than any head may have, so that the parser refuses what is longer."""
WAITED = 16 << 10
"""Bytes of a body that is waited for outside, as that of a form; a socket holds more than these without a thread."""
_WORDS = b"The request ended early, or came too slowly.\n"
TOO_SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_WORDS), _WORDS)
)
_RESTS = 4
"""Pieces of what nobody wants to know that are read away."""
_END = b"\r\n\r\n"
_LONG_HEADERS = re.compile(rb"\r\n(?:transfer-encoding|expect|upgrade)[ \t]*:", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length[ \t]*:[ \t]*([^\r]*?)[ \t]*\r\n", re.IGNORECASE)
_LONG_ADDRESSES = re.compile(rb"\.git/git-|\.dvc(?:/|\Z)|/raw/|/outputs/|/log\.txt|/commit\.tar\.gz|/environments/")
"""Those under which gigabytes are handed out to whoever takes them slowly."""


class Look(Enum):
    """What stands at the door."""

    UNFINISHED = "a part of a request"
    QUICK = "what a thread is done with at once: a whole request of a page, a fault, or the end"
    LONG = "the head of a request that may take hours, as a push over a slow line does"


@dataclass(slots=True)
class _Guest:
    """A connection outside, until when it may stand there, and what is to be done with it."""

    looks: Callable[[], Look]
    until: float
    enter: Callable[[], object]
    leave: Callable[[], object]


def look(connection: socket.socket, ahead: bytes = b"") -> Look:
    """What a thread will find; `ahead` was read together with the request before. Nothing is taken from the
    connection, which must not wait (or have no limit of time)."""
    try:
        piece = connection.recv(PEEKED, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        piece = None
    except OSError:
        return Look.QUICK  # the thread finds the same fault, and closes it
    if piece == b"":
        return Look.QUICK
    return seen(ahead + (piece or b""))


def seen(request: bytes) -> Look:
    """What these first bytes of a request are."""
    head, end, body = request.lstrip(b"\r\n").partition(_END)
    if not end:
        return Look.QUICK if len(request) >= PEEKED else Look.UNFINISHED
    head += b"\r\n"
    address = unquote_to_bytes(head.partition(b"\r\n")[0].partition(b" ")[2].partition(b"?")[0])
    length = _LENGTH.search(head)
    if _LONG_HEADERS.search(head) or _LONG_ADDRESSES.search(address):
        return Look.LONG
    if length is None:
        return Look.QUICK
    if not length[1].isdigit() or len(length[1]) > 5 or int(length[1]) > WAITED:
        return Look.LONG
    return Look.QUICK if len(body) >= int(length[1]) else Look.UNFINISHED


def rest(connection: socket.socket) -> Look:
    """What is left of a connection that has had its last answer: nothing as soon as the client has closed it. What it
    still says is read away; unread, it would take the answer away from the client."""
    for _ in range(_RESTS):
        try:
            if not connection.recv(PEEKED, socket.MSG_DONTWAIT):
                return Look.QUICK
        except BlockingIOError:
            return Look.UNFINISHED
        except OSError:
            return Look.QUICK
    return Look.QUICK


class Porter:
    """One thread for all connections outside. `enter` and `leave` are called in it, one of them, once."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._guests: dict[int, _Guest] = {}
        self._guard = threading.Lock()
        # Edge-triggered: half a head that stays in the socket must not wake us again and again. Linux alone has it.
        self._poll = select.epoll() if hasattr(select, "epoll") else None
        if self._poll is not None:
            threading.Thread(target=self._watch, name="porter", daemon=True).start()

    @property
    def works(self) -> bool:
        """Whether connections can wait outside on this machine."""
        return self._poll is not None

    def keep(
        self, connection: socket.socket, looks: Callable[[], Look], enter: Callable[[], object],
        leave: Callable[[], object], seconds: float | None = None,
    ) -> None:  # fmt: skip
        """Let the connection wait: `enter` as soon as it does not look unfinished, `leave` if that takes too long, or
        cannot be any more."""
        if self._poll is None:
            enter()
            return
        number = connection.fileno()
        until = time.monotonic() + (self._seconds if seconds is None else seconds)
        with self._guard:
            self._guests[number] = _Guest(looks, until, enter, leave)
        try:
            self._poll.register(number, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)
        except (OSError, ValueError):  # a thread that had it, as a WebSocket's, has closed it at this moment
            self._out(number, leave)

    def make_room(self) -> None:
        """Send away whoever has stood outside for longest: where there are too many, it is those who never finish."""
        with self._guard:
            oldest = next((guest for guest in self._guests.values() if guest.until), None)
            if oldest is not None:
                oldest.until = 0.0

    def _watch(self) -> None:
        while self._poll is not None:
            for number, event in self._poll.poll(1.0):
                guest = self._guests.get(number)
                if guest is None:
                    continue
                if guest.looks() is not Look.UNFINISHED:
                    self._out(number, guest.enter)
                elif event & (select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR):
                    self._out(number, guest.leave)  # the rest will never come
            now = time.monotonic()
            with self._guard:
                late = [number for number, guest in self._guests.items() if guest.until <= now]
            for number in late:
                self._out(number, self._guests[number].leave)

    def _out(self, number: int, then: Callable[[], object]) -> None:
        with self._guard:
            self._guests.pop(number, None)
        if self._poll is not None:
            with contextlib.suppress(OSError, ValueError):  # somebody has closed it: that ends no thread of everybody's
                self._poll.unregister(number)
        then()
