"""Hears when attempts end: at once through a FIFO that supervisors write to, within a second whatever happens.

The rule to keep: the FIFO is only a hint. An attempt counts as ended when its directory says so.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from pathlib import Path

from refmill.engine import supervision

SWEEP = 1.0  # seconds between two looks at every attempt, for those whose supervisor died without a word


class Watcher:
    """Tells `ended(directory)` once for each watched attempt that is over or lost, from a thread of its own."""

    def __init__(self, fifo: Path, ended: Callable[[Path], None]) -> None:
        self.fifo = fifo
        self._ended = ended
        self._watched: set[Path] = set()
        self._guard = threading.Lock()
        if not fifo.exists():
            os.mkfifo(fifo, 0o600)
        self._reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)  # a writer of our own: no end of file
        self._open = True
        self._thread = threading.Thread(target=self._run, name="refmill-watch", daemon=True)
        self._thread.start()

    def watch(self, directory: Path) -> None:
        """Look after an attempt from now on; it may have ended already."""
        with self._guard:
            self._watched.add(directory)
        if (directory / "exit.json").exists():
            self._tell(directory)

    def close(self) -> None:
        """Hear no more."""
        if not self._open:
            return
        self._open = False
        os.write(self._reader, b"\n")
        self._thread.join()
        os.close(self._reader)

    def _run(self) -> None:
        rest = b""
        while self._open:
            readable, _, _ = select.select([self._reader], [], [], SWEEP)
            if not readable:
                self._sweep()
                continue
            try:
                said = os.read(self._reader, 1 << 16)
            except BlockingIOError:  # another reader of the FIFO was quicker: the sweep finds what that one was told
                continue
            *names, rest = (rest + said).split(b"\n")
            for name in names:
                if name:
                    self._tell(Path(os.fsdecode(name)))

    def _sweep(self) -> None:
        with self._guard:
            watched = list(self._watched)
        for directory in watched:
            if supervision.signs(directory) != "alive":
                self._tell(directory)

    def _tell(self, directory: Path) -> None:
        with self._guard:
            if directory not in self._watched:
                return
            self._watched.remove(directory)
        self._ended(directory)
