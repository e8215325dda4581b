"""Keeps connections outside until the head of a request is there: a client that sends it slowly, or never, holds a
socket and no thread.

gunicorn gives a connection to a thread as soon as anything can be read of it, and the thread waits for the rest as long
as the client likes: as many half requests as there are threads keep everybody out.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

SECONDS = 10.0
"""How long a head may take from its first moment on; those of people and git come at once."""
PEEKED = 64 << 10
"""Bytes that are looked at: more than any head may have, so that the parser refuses what is longer."""
_END = b"\r\n\r\n"


@dataclass(slots=True)
class _Guest:
    """A connection outside, until when it may stand there, and what is to be done with it."""

    connection: socket.socket
    until: float
    enter: Callable[[], object]
    leave: Callable[[], object]


def is_ready(connection: socket.socket) -> bool:
    """Whether a thread will find a whole head, too long a one, or the end; nothing is taken from the connection."""
    try:
        head = connection.recv(PEEKED, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True  # the thread finds the same fault, and closes it
    return not head or len(head) == PEEKED or _END in head


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

    def keep(self, connection: socket.socket, enter: Callable[[], object], leave: Callable[[], object]) -> None:
        """Let the connection wait: `enter` as soon as its head is there, `leave` if it does not come in time."""
        if self._poll is None:
            enter()
            return
        number = connection.fileno()
        with self._guard:
            self._guests[number] = _Guest(connection, time.monotonic() + self._seconds, enter, leave)
        self._poll.register(number, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)

    def _watch(self) -> None:
        while self._poll is not None:
            for number, _ in self._poll.poll(1.0):
                guest = self._guests.get(number)
                if guest is not None and is_ready(guest.connection):
                    self._out(number, guest.enter)
            now = time.monotonic()
            with self._guard:
                late = [number for number, guest in self._guests.items() if guest.until <= now]
            for number in late:
                self._out(number, self._guests[number].leave)

    def _out(self, number: int, then: Callable[[], object]) -> None:
        with self._guard:
            self._guests.pop(number, None)
        if self._poll is not None:
            self._poll.unregister(number)
        then()
