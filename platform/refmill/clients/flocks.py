"""Waiting for a lock that a file's descriptor carries: the kernel lets go of it when the last process that has the
descriptor ends, however it ends."""

from __future__ import annotations

import fcntl
import time

LOOK = 0.02
"""Seconds between two looks."""


def taken(descriptor: int, patience: float = 0.0) -> bool:
    """Take the lock for this descriptor alone; False if others still hold it after `patience` seconds."""
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(LOOK)
        else:
            return True
