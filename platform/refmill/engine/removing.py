"""Takes folders away in the background, many by one `rm`, so that the interpreter does something else meanwhile.

The rule to keep: nobody waits for it, and nothing hangs on it. What a killed engine did not come to goes when its
successor cleans up.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from refmill.engine import checkouts

LOG = logging.getLogger(__name__)
GATHER = 0.2  # seconds in which further folders may come before a process is started for them
MOST = 400  # folders of one process: their names must fit into an argument list
PATIENCE = 10.0  # seconds that close() waits
_COMMAND = ("rm", "-rf", "--")
"""Not at a lower priority: whoever waits for a core in the middle of a change to a folder keeps all others from it, and
from the journal that their files have to get into."""


class Remover:
    """One thread that removes what it is given, whatever a stage did to the rights in it."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self._open = True
        self._thread = threading.Thread(target=self._run, name="refmill-remover", daemon=True)
        self._thread.start()

    def remove(self, *paths: Path) -> None:
        """Have `paths` gone soon."""
        for path in paths:
            self._queue.put(path)

    def close(self) -> None:
        """Begin nothing more."""
        self._open = False
        self._queue.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join(PATIENCE)

    def _run(self) -> None:
        while self._open:
            first = self._queue.get()
            if first is None:
                continue
            try:
                _remove(self._gathered(first))
            except Exception:
                LOG.exception("folders of stages could not be removed")

    def _gathered(self, first: Path) -> list[Path]:
        found = [first]
        until = time.monotonic() + GATHER
        while self._open and len(found) < MOST:
            try:
                path = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if path is not None:
                found.append(path)
        return found


def _remove(paths: Sequence[Path]) -> None:
    with contextlib.suppress(OSError):  # a machine without these programs
        subprocess.run(
            [*_COMMAND, *map(os.fspath, paths)], check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
    for path in paths:
        if os.path.lexists(path):  # also a folder without rights
            checkouts.remove(path)
