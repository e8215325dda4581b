"""A few threads that do what they are given, one after the other.

The rule to keep: they are daemons. A process that ends does not wait for them, because whatever they do may be cut off
at any point and is done again by a successor.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

LOG = logging.getLogger(__name__)
PATIENCE = 10.0  # seconds that close() waits for what is being done


class Workers:
    """`count` threads behind one queue; with one thread, things happen in the order in which they were given."""

    def __init__(self, name: str, count: int) -> None:
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._open = True
        self._threads = [
            threading.Thread(target=self._run, name=f"refmill-{name}-{index}", daemon=True) for index in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def do(self, job: Callable[[], None]) -> None:
        """Have `job` done soon; nothing after close()."""
        if self._open:
            self._queue.put(job)

    def close(self) -> None:
        """Begin nothing more; wait a while for what is being done."""
        self._open = False
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(PATIENCE)

    def _run(self) -> None:
        while (job := self._queue.get()) is not None and self._open:
            try:
                job()
            except Exception:
                LOG.exception("a job of %s failed", threading.current_thread().name)
