"""SIGTERM: the pod was deleted or the run stopped, and there are seconds left to end in order.

The rule to keep: what is interrupted by it (`interruptible`) can be begun again from nothing. Elsewhere it only sets
the time by which all must be said.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Iterator

from refmill.step.pods.faults import Stopped

TELLING = 25.0  # seconds in which what is known must have been told: Kubernetes gives 30 before it kills
STEP = 0.1  # seconds of sleep after which one looks at the clock again


class Halt:
    """Whether an end is wanted. `directory` is the attempt whose supervisor has to be told."""

    def __init__(self) -> None:
        self.asked = False
        self.directory = ""
        self._until = 0.0
        self._interrupts = False

    def listen(self) -> None:
        """Take signals from here on."""
        signal.signal(signal.SIGTERM, self._told)
        signal.signal(signal.SIGINT, self._told)

    def ask(self) -> None:
        """Somebody wants an end."""
        if not self.asked:
            self.asked = True
            self._until = time.monotonic() + TELLING

    def passed(self, until: float) -> bool:
        """Whether the time `until` (monotonic) has come, or that by which all must be told."""
        return time.monotonic() >= (min(until, self._until) if self.asked else until)

    def sleep(self, seconds: float) -> None:
        """Wait; shorter if there is no time left."""
        until = time.monotonic() + seconds
        while not self.passed(until):
            time.sleep(min(STEP, seconds))

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """What is in here ends by Stopped as soon as an end is wanted."""
        self._interrupts = True
        try:
            if self.asked:
                raise Stopped
            yield
        finally:
            self._interrupts = False

    def _told(self, *_: object) -> None:
        self.ask()
        if self.directory:
            with contextlib.suppress(OSError):
                os.close(os.open(os.path.join(self.directory, "stop"), os.O_WRONLY | os.O_CREAT, 0o644))
        if self._interrupts:
            self._interrupts = False
            raise Stopped
