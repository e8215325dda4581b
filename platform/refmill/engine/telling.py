"""Tells the listener what happens, in the order in which it happened: one thread, many states of stages at a time.

A stage that takes no time has three states within a few milliseconds, and each call of the listener is a transaction.
So what comes while one call is under way, or within GATHER after it, goes into the next; the first news, and the end of
a run, wait for nothing.

The rule to keep: what is told late, or not at all because the process was killed, stands on disk, and is told by a
successor.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import TypeAlias

from refmill import errors
from refmill.model.runs import StageRun
from refmill.ports.engines import Listener

LOG = logging.getLogger(__name__)
GATHER = 0.05  # seconds; nobody sees a page that is so much older, and it is ten stages that take no time
MOST = 500  # states in one call: what a transaction holds, and how long others wait for it, stays bounded
PATIENCE = 10.0  # seconds that close() waits for what is being told
AGAIN = (0.1, 0.5, 2.0, 10.0)  # seconds before the listener is told once more, when it could not listen
_News: TypeAlias = "tuple[str, StageRun] | Callable[[], None] | None"


class Teller:
    """Tells `listener`. After `close` nothing more."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._queue: queue.SimpleQueue[_News] = queue.SimpleQueue()
        self._open = True
        self._thread = threading.Thread(target=self._run, name="refmill-teller", daemon=True)
        self._thread.start()

    def stage(self, run_id: str, state: StageRun) -> None:
        """A stage changed its state."""
        self._queue.put((run_id, state))

    def do(self, call: Callable[[], None]) -> None:
        """Have `call` tell something else, after all that came before."""
        self._queue.put(call)

    def close(self) -> None:
        """Begin nothing more; wait a while for what is being told."""
        self._open = False
        self._queue.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join(PATIENCE)

    def _run(self) -> None:
        told = 0.0
        while self._open:
            news = self._queue.get()
            while isinstance(news, tuple):
                states, news = self._gathered(news, told + GATHER)
                for run_id, found in states.items():
                    self._tell(lambda run_id=run_id, found=found: self._listener.stages(run_id, found))  # type: ignore[misc]
                told = time.monotonic()
            if news is not None:
                self._tell(news)

    def _gathered(self, first: tuple[str, StageRun], until: float) -> tuple[dict[str, list[StageRun]], _News]:
        """The states that came up to `until`, by run, and what came after them (None: nothing yet)."""
        found = {first[0]: [first[1]]}
        for _ in range(MOST):
            try:
                news = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if not isinstance(news, tuple):
                return found, news
            found.setdefault(news[0], []).append(news[1])
        return found, None

    def _tell(self, call: Callable[[], None]) -> None:
        for pause in (*AGAIN, None):
            if not self._open:
                return
            try:
                call()
            except errors.RefmillError:
                if pause is None:
                    LOG.exception("the listener could not be told")
                    return
                LOG.exception("the listener could not be told; once more in %s s", pause)
                time.sleep(pause)
            except Exception:
                LOG.exception("the listener failed")
                return
            else:
                return
