"""gunicorn's threaded worker for clients that ask thousands of times over a few connections, as `dvc push` does.

gunicorn hands a connection back to its main thread after each answer, which costs more than most answers do. Here a
thread waits a moment for the next question itself, as long as enough other threads are free.
"""

from __future__ import annotations

import select
from collections import deque
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

LINGER_MS = 100
"""A client that goes on at all asks again within some milliseconds, on a busy machine some more."""


class LingeringWorker(ThreadWorker):
    """A ThreadWorker whose threads stay with a busy connection."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._taken: deque[None] = deque()  # an entry for each connection with or before a thread; it counts atomically

    def enqueue_req(self, conn: Any) -> None:
        """Count the connection among those that want a thread."""
        self._taken.append(None)
        super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        """Answer what comes over a connection while it comes without a pause."""
        try:
            kept = super().handle(conn)
            while kept is True and self.alive and len(self._taken) < self.cfg.threads and _asks_again(conn):
                kept = super().handle(conn)
        finally:
            self._taken.pop()
        return kept


def _asks_again(conn: Any) -> bool:
    if conn.is_http2:
        return False
    if conn.parser.unreader.buf.getvalue():  # read already, together with the question before
        return True
    poll = select.poll()
    poll.register(conn.sock, select.POLLIN)
    return bool(poll.poll(LINGER_MS))
