"""Sends a log to the server as it grows, and shows the same on standard output.

The rule to keep: what is lost on the way is sent again from where the server stands; a server that is away holds up
nothing but the end of the stage.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import Callable

from refmill.step.pods.wire import Away, Refused, Wire

PIECE = 1 << 20  # bytes of one request
PAUSE = 0.5  # seconds between two requests while there is little to say
TAIL = 16 << 10  # bytes at the end that go along with the end of the attempt
OCTETS = {"Content-Type": "application/octet-stream"}
SHOWN = frozenset(b"oes")  # streams; the others are lines that are not finished


class Following(threading.Thread):
    """Follows the file `path`; `url` makes the address of a piece from where it begins."""

    def __init__(self, wire: Wire, path: str, url: Callable[[int], str]) -> None:
        super().__init__(daemon=True)
        self._wire, self._path, self._url = wire, path, url
        self._over = threading.Event()
        self._offset = self._shown = 0
        self._rest = b""
        self._refused = False
        self.tail = (0, b"")

    def run(self) -> None:
        while True:
            last = self._over.is_set()
            data = self._read()
            if last and len(data) <= TAIL and not self._refused:
                self._show(data)
                self.tail = (self._offset, data)
                return
            if data:
                self._show(data)
                self._send(data)
            if last and not data:
                return
            if len(data) < PIECE:
                self._over.wait(PAUSE)

    def finish(self) -> None:
        """Send what is left, but for a small `tail`: from which byte on, and its bytes."""
        self._over.set()
        self.join()

    def again(self, offset: int) -> None:
        """Send all from there on, after the end: the server stands there. Raises Refused, Away."""
        self._offset, self.tail = offset, (0, b"")
        while data := self._read():
            self._wire.ask("POST", self._url(self._offset), data, OCTETS)
            self._offset += len(data)

    def _read(self) -> bytes:
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                return file.read(PIECE)
        except OSError:
            return b""

    def _send(self, data: bytes) -> None:
        """Have the server take it; a log that nobody takes is on standard output all the same."""
        reached = self._offset + len(data)
        if not self._refused:
            try:
                self._wire.ask("POST", self._url(self._offset), data, OCTETS)
            except Refused as error:
                size = error.answer.json().get("size")
                if error.status == 409 and isinstance(size, int) and 0 <= size < self._offset:
                    reached = size
                else:
                    self._refused = True
                    say("the log is not taken any more: %s" % error)
            except Away:
                reached = self._offset  # again, unless all is over
                if self._over.is_set():
                    self._refused = True
        self._offset = reached

    def _show(self, data: bytes) -> None:
        """Whole lines, as people read them: without the time, which Kubernetes notes too."""
        fresh = data[max(0, self._shown - self._offset) :]
        self._shown = max(self._shown, self._offset + len(data))
        *lines, self._rest = (self._rest + fresh).split(b"\n")
        shown = []
        for line in lines:
            _, letter, words = [*line.split(b" ", 2), b"", b""][:3]
            if letter and letter[0] in SHOWN:
                shown.append(words + b"\n")
        show(b"".join(shown))


def say(words: str) -> None:
    """A line of ours on standard output."""
    show(("refmill: %s\n" % words).encode("utf-8", "replace"))


def show(data: bytes) -> None:
    """Write to standard output; one that nobody reads is no harm."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        view = memoryview(data)
        while view:
            view = view[os.write(1, view) :]
