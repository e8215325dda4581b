"""Knowing whether a git child still lives, also one whose parent was killed.

Every child inherits one descriptor that holds a shared lock; whoever gets the lock alone knows that none is left.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from refmill import errors
from refmill.clients import flocks
from refmill.texts import text

FILE = ".children.lock"


@contextmanager
def held(root: Path) -> Iterator[int]:
    """A descriptor with the shared lock in the folder `root`, to start a child with (`pass_fds`). The caller's copy is
    closed at the end; a child that still lives holds on by its own."""
    fd = _opened(root)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        yield fd
    finally:
        os.close(fd)


def alone(root: Path, patience: float) -> int:
    """Wait until no git child of an earlier server lives; the descriptor given holds the lock until it is closed.

    Raises Unavailable after `patience` seconds.
    """
    fd = _opened(root)
    if not flocks.taken(fd, patience):
        os.close(fd)
        raise errors.Unavailable(
            text("a git process of an earlier server still works in %(root)s", root=str(root)),
            text("Wait until it ends (`fuser %(file)s` names it), then start again.", file=str(root / FILE)),
        )
    return fd


def _opened(root: Path) -> int:
    return os.open(root / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
