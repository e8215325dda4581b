"""gunicorn's threaded worker for clients that ask thousands of times over a few connections, as `dvc push` does, and
for clients that mean harm.

gunicorn hands a connection back to its main thread after each answer, which costs more than most answers do. Here a
thread waits a moment for the next question itself, as long as enough other threads are free. No thread is given to a
connection before its request is there, and of those that may take long only so many have threads at a time that pages
are answered meanwhile; the others wait for their turn.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
from collections import deque
from functools import partial
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from refmill_web.processes import pace, porter
from refmill_web.processes.porter import Look

LINGER_MS = 100
"""A client that goes on at all asks again within some milliseconds, on a busy machine some more."""
SPARE = 500
"""Connections that can still be accepted when those who wait outside begin to be sent away."""
PARTING = 2.0
"""Seconds that a client has for closing after the last answer."""
TAKES = 600.0
"""Seconds within which a client must have taken a piece of an answer, a mebibyte at most."""


class LingeringWorker(ThreadWorker):
    """A ThreadWorker whose threads stay with a busy connection."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._taken: deque[None] = deque()  # an entry for each connection with or before a thread; it counts atomically
        self._porter: porter.Porter | None = None
        self._long: set[Any] = set()  # changed in the main thread alone, as is the next one
        self._outside: deque[Any] = deque()

    def enqueue_req(self, conn: Any) -> None:
        """Give the connection a thread once its request is there; else let it wait outside."""
        if self._porter is None:  # not before the worker has forked
            self._porter = porter.Porter()
        if self.nr_conns > self.worker_connections - SPARE:
            self._porter.make_room()
        looks = partial(_look, conn)
        found = looks()
        if found is not Look.UNFINISHED or not self._porter.works:
            self._admit(conn, found)
            return
        self._porter.keep(
            conn.sock, looks, partial(self.method_queue.defer, self.enqueue_req, conn),
            partial(self.method_queue.defer, self._turn_away, conn),
        )  # fmt: skip

    def _admit(self, conn: Any, found: Look) -> None:
        """Give a thread, or a place in the queue of those that may take long."""
        if found is Look.LONG:
            if len(self._long) >= max(1, self.cfg.threads * 3 // 4):
                self._outside.append(conn)
                return
            self._long.add(conn)
        self._taken.append(None)
        super().enqueue_req(conn)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """A thread is free again."""
        self._long.discard(conn)
        if self._porter is not None and self._porter.works and _is_over(fs):
            self._part(conn, self._porter)
        else:
            super().finish_request(conn, fs)
        while self._outside:
            following = self._outside.popleft()
            if not _has_left(following):
                self._admit(following, Look.LONG)
                break
            self._gone(following)

    def _part(self, conn: Any, porter_: porter.Porter) -> None:
        """Close as RFC 9112 §9.6 asks, when the client has read the end and closed, or some seconds later. (gunicorn
        waits for that in its main thread: some clients that do not close, and nobody is let in.)"""
        leave = partial(self.method_queue.defer, self._gone, conn)
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:  # it is gone already
            self._gone(conn)
            return
        porter_.keep(conn.sock, partial(porter.rest, conn.sock), leave, leave, seconds=PARTING)

    def _gone(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()

    def _turn_away(self, conn: Any) -> None:
        """The request did not come in time."""
        with contextlib.suppress(OSError):  # it has said nothing, or has gone away
            # What is left unread would take the answer away from the client.
            if conn.sock.recv(porter.PEEKED, socket.MSG_DONTWAIT):
                conn.sock.send(porter.TOO_SLOW)
        self._gone(conn)

    def _pressed(self) -> bool:
        """Whether somebody waits for a thread."""
        return bool(self._outside) or len(self._taken) > self.cfg.threads

    def handle(self, conn: Any) -> Any:
        """Answer what comes over a connection while it comes without a pause."""
        try:
            kept = super().handle(conn)
            while kept is True and self.alive and self._idle() and self._asks_again(conn):
                kept = super().handle(conn)
        finally:
            self._taken.pop()
        return kept

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answer one request, of a client that must not be too slow."""
        reader = conn.parser.unreader
        reader.sock = pace.Paced(conn.sock, self._pressed)
        if not req.path.startswith("/ws/"):  # what follows a run may be silent for hours
            conn.sock.settimeout(TAKES)
        try:
            return super().handle_request(req, conn)
        except TimeoutError as error:  # gunicorn knows a connection that was reset, and is silent about it
            raise ConnectionResetError(errno.ECONNRESET, str(error)) from error
        finally:
            reader.sock = conn.sock
            with contextlib.suppress(OSError):  # closed
                conn.sock.setblocking(True)

    def _idle(self) -> bool:
        """Whether a thread may wait for a client's next question."""
        return not self._outside and len(self._taken) < self.cfg.threads

    def _asks_again(self, conn: Any) -> bool:
        if conn.is_http2:
            return False
        if not _read_ahead(conn):
            poll = select.poll()
            poll.register(conn.sock, select.POLLIN)
            if not poll.poll(LINGER_MS):
                return False
        found = _look(conn)
        return found is Look.QUICK or (found is Look.LONG and conn in self._long)


def _is_over(fs: Any) -> bool:
    """Whether a connection's last request has been answered."""
    return not fs.cancelled() and fs.exception() is None and fs.result() is False


def _has_left(conn: Any) -> bool:
    """Whether the client gave up while it waited for its turn; its question may have been for gigabytes."""
    poll = select.poll()
    poll.register(conn.sock, getattr(select, "POLLRDHUP", 0))
    return bool(poll.poll(0))


def _read_ahead(conn: Any) -> bytes:
    """What of the next question was read together with the one before."""
    return conn.parser.unreader.buf.getvalue() if conn.parser is not None and not conn.is_http2 else b""


def _look(conn: Any) -> Look:
    return porter.look(conn.sock, _read_ahead(conn))
