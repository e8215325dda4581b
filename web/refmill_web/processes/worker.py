"""gunicorn's threaded worker for clients that ask thousands of times over a few connections, as `dvc push` does.

gunicorn hands a connection back to its main thread after each answer, which costs more than most answers do. Here a
thread waits a moment for the next question itself, as long as enough other threads are free. And no thread is given to
a connection before the head of its request is there.
"""

from __future__ import annotations

import select
from collections import deque
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from refmill_web.processes import porter

LINGER_MS = 100
"""A client that goes on at all asks again within some milliseconds, on a busy machine some more."""


class LingeringWorker(ThreadWorker):
    """A ThreadWorker whose threads stay with a busy connection."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._taken: deque[None] = deque()  # an entry for each connection with or before a thread; it counts atomically
        self._porter: porter.Porter | None = None

    def enqueue_req(self, conn: Any) -> None:
        """Give the connection a thread once the head of its request is there; else let it wait outside."""
        if self._porter is None:  # not before the worker has forked
            self._porter = porter.Porter()
        if not self._porter.works or _is_read_ahead(conn) or porter.is_ready(conn.sock):
            self._enqueue(conn)
            return
        self._porter.keep(
            conn.sock,
            lambda: self.method_queue.defer(self._enqueue, conn),
            lambda: self.method_queue.defer(self._turn_away, conn),
        )

    def _enqueue(self, conn: Any) -> None:
        """Count the connection among those that want a thread."""
        self._taken.append(None)
        super().enqueue_req(conn)

    def _turn_away(self, conn: Any) -> None:
        """The head did not come in time."""
        self.nr_conns -= 1
        conn.close()

    def handle(self, conn: Any) -> Any:
        """Answer what comes over a connection while it comes without a pause."""
        try:
            kept = super().handle(conn)
            while kept is True and self.alive and len(self._taken) < self.cfg.threads and _asks_again(conn):
                kept = super().handle(conn)
        finally:
            self._taken.pop()
        return kept


def _is_read_ahead(conn: Any) -> bool:
    """Whether the next question was read together with the one before, as far as it had come."""
    return conn.parser is not None and not conn.is_http2 and bool(conn.parser.unreader.buf.getvalue())


def _asks_again(conn: Any) -> bool:
    if conn.is_http2:
        return False
    if _is_read_ahead(conn):
        return True
    poll = select.poll()
    poll.register(conn.sock, select.POLLIN)
    return bool(poll.poll(LINGER_MS)) and porter.is_ready(conn.sock)
