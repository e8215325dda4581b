"""Tells the listener what happens, in the order in which it happened: one thread, many states of stages at a time.

A stage that takes no time has three states within a few milliseconds, and each call of the listener is a transaction.
So what comes while one call is under way, or within GATHER after it, goes into the next; the first news, and the end of
a run, wait for nothing. What the listener cannot take waits aside, with all that comes later of the same run: a full
disk delays, and a damaged repository stops no other run.

The rule to keep: what is told late, or not at all because the process was killed, stands on disk, and is told by a
successor.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from refmill import errors
from refmill.model.runs import StageRun
from refmill.ports.engines import Listener

LOG = logging.getLogger(__name__)
GATHER = 0.05  # seconds; nobody sees a page that is so much older, and it is ten stages that take no time
MOST = 500  # states in one call: what a transaction holds, and how long others wait for it, stays bounded
PATIENCE = 10.0  # seconds that close() waits for what is being told
AGAIN = (0.1, 0.5)  # seconds before the listener is told once more, when it could not listen
LATER = 5.0  # seconds between two tries with what waits aside
TRIES = 5  # of what fails for another reason than that a part does not answer now, such as a damaged repository


@dataclass(slots=True)
class _Call:
    """Something to be told of a run; `give_up` tells instead that it cannot be told, with the reason."""

    run_id: str
    call: Callable[[], None]
    give_up: Callable[[str], None] | None = None
    failures: int = 0


_States: TypeAlias = tuple[str, tuple[StageRun, ...]]
_News: TypeAlias = "_States | _Call | None"


class Teller:
    """Tells `listener`. After `close` nothing more."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._queue: queue.SimpleQueue[_News] = queue.SimpleQueue()
        self._aside: dict[str, list[_Call]] = {}
        self._later = 0.0
        self._open = True
        self._thread = threading.Thread(target=self._run, name="refmill-teller", daemon=True)
        self._thread.start()

    def stage(self, run_id: str, *states: StageRun) -> None:
        """A stage changed its state; several states are told together or, if the process is killed, not at all."""
        self._queue.put((run_id, states))

    def do(self, run_id: str, call: Callable[[], None], give_up: Callable[[str], None] | None = None) -> None:
        """Have `call` tell something else, after all that came before; `give_up` if that turns out to be impossible."""
        self._queue.put(_Call(run_id, call, give_up))

    def close(self) -> None:
        """Begin nothing more; wait a while for what is being told."""
        self._open = False
        self._queue.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join(PATIENCE)

    def _run(self) -> None:
        told = 0.0
        while self._open:
            try:
                news = self._queue.get(timeout=max(0.0, self._later - time.monotonic()) if self._aside else None)
            except queue.Empty:
                news = None
            while isinstance(news, tuple):
                states, news = self._gathered(news, told + GATHER)
                for run_id, found in states.items():
                    self._tell(_Call(run_id, lambda run_id=run_id, found=found: self._listener.stages(run_id, found)))  # type: ignore[misc]
                told = time.monotonic()
            if news is not None:
                self._tell(news)
            if self._aside and time.monotonic() >= self._later:
                self._try_again()

    def _gathered(self, first: _States, until: float) -> tuple[dict[str, list[StageRun]], _News]:
        """The states that came up to `until`, by run, and what came after them (None: nothing yet)."""
        found = {first[0]: [*first[1]]}
        for _ in range(MOST):
            try:
                news = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if not isinstance(news, tuple):
                return found, news
            found.setdefault(news[0], []).extend(news[1])
        return found, None

    def _tell(self, news: _Call) -> None:
        """Tell at once, or put aside what cannot be told now."""
        if news.run_id in self._aside:
            self._aside[news.run_id].append(news)
            return
        for pause in (*AGAIN, None):
            if not self._open or self._told(news):
                return
            if pause is not None:
                time.sleep(pause)
        if not self._aside:
            self._later = time.monotonic() + LATER
        self._aside[news.run_id] = [news]

    def _try_again(self) -> None:
        """What waits aside, each run from where it stands. One call for each that fails, so that the others go on."""
        for run_id, waiting in list(self._aside.items()):
            while waiting and self._open and self._told(waiting[0]):
                waiting.pop(0)
            if not waiting:
                del self._aside[run_id]
        self._later = time.monotonic() + LATER

    def _told(self, news: _Call) -> bool:
        """Whether the listener took it, or never will."""
        try:
            news.call()
        except errors.Unavailable as error:
            LOG.warning("run %s: the listener could not be told, and is told again: %s", news.run_id, error)
            return False
        except Exception as error:
            news.failures += 1
            LOG.exception("run %s: the listener failed (%s of %s)", news.run_id, news.failures, TRIES)
            if news.failures < TRIES:
                return False
            self._give_up(news, error)
        return True

    @staticmethod
    def _give_up(news: _Call, error: Exception) -> None:
        if news.give_up is None:
            return
        try:
            news.give_up(str(error)[:500])
        except Exception:
            LOG.exception("run %s: not even that could be told", news.run_id)
