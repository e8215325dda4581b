"""Addresses of unix sockets, however deep their directory lies."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_LONGEST_ADDRESS = 100  # bytes; Linux takes 107, macOS 103


@contextlib.contextmanager
def address(directory: Path, name: str) -> Iterator[str]:
    """What to bind, connect or send to for the socket `name` in `directory`, good while the context lasts.

    A path that is too long for an address is reached through a descriptor of its directory. Raises OSError.
    """
    path = str(directory / name)
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS or not os.path.isdir("/proc/self/fd"):
        yield path
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)
