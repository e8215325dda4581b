"""Asks parts of the platform that may be slow or silent, without being either."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from refmill import errors

LOG = logging.getLogger(__name__)
FRESH = 5.0
"""Seconds for which an answer does for whoever asks: however many do, each part is asked that often at most."""
PATIENCE = 3.0
"""Seconds that somebody waits; Prometheus itself gives up after ten."""
T = TypeVar("T")


class Asked(Generic[T]):
    """What `question` answers, asked in a thread of its own, of which there is one at most."""

    def __init__(self, question: Callable[[], T], *, fresh: float = FRESH, patience: float = PATIENCE) -> None:
        self._question, self._fresh, self._patience = question, fresh, patience
        self._guard = threading.Condition()
        self._running = False
        self._answer: T | None = None
        self._until = 0.0

    def get(self) -> T | None:
        """The answer, as it was some seconds ago at most; None if there is none in time."""
        with self._guard:
            if time.monotonic() < self._until:
                return self._answer
            if not self._running:
                self._running = True
                threading.Thread(target=self._ask, name="asking", daemon=True).start()
            done = self._guard.wait_for(lambda: not self._running, self._patience)
            return self._answer if done else None

    def _ask(self) -> None:
        answer: T | None = None
        try:
            answer = self._question()
        except (errors.RefmillError, OSError, ValueError) as error:
            LOG.info("no answer for /metrics: %s", error)
        except Exception:
            LOG.exception("asking for /metrics failed")
        finally:
            with self._guard:
                self._answer, self._running = answer, False
                self._until = time.monotonic() + (self._fresh if answer is not None else 0.0)
                self._guard.notify_all()
