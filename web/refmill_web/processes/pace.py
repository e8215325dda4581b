"""How slowly the body of a request may come. Whoever sends a byte a second for ever would else hold a thread for ever.

A client has a stock of patience. Waiting for it uses the stock up, and each byte brings some of it back. As long as
nobody has to wait for a thread, the stock lasts for minutes: `git push` says nothing while it packs. When others wait,
it lasts for seconds.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

PATIENCE, PRESSED = 600.0, 15.0
"""Seconds of waiting in the stock: mostly, and while others wait for a thread."""
RATE = 500.0
"""Bytes that bring a second of patience back."""
_SLICE = 1.0
"""Seconds after which somebody who waits asks again whether others do."""


class Paced:
    """A socket as far as gunicorn reads a body from it. Raises TimeoutError once `pressed` or time say so."""

    def __init__(self, connection: socket.socket, pressed: Callable[[], bool]) -> None:
        self._connection, self._pressed = connection, pressed
        self._stock = PATIENCE

    def recv(self, size: int) -> bytes:
        """What has come, as soon as anything has."""
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        while True:
            began = time.monotonic()
            ready = poll.poll(_SLICE * 1000)
            self._used(time.monotonic() - began)
            if self._stock <= 0:
                raise TimeoutError("the body of the request came too slowly")
            if ready:
                piece = self._connection.recv(size)
                self._stock += len(piece) / RATE
                return piece

    def _used(self, seconds: float) -> None:
        most = PRESSED if self._pressed() else PATIENCE
        self._stock = min(self._stock, most) - seconds
