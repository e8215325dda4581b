"""Whether a stored object holds what its name says: found out by reading it, and remembered while it stays as it is.

What is remembered is a file's inode, size and time of change. So an object is read once by each process that uses it;
a disk that changes bytes behind everybody's back is found out after the next start, or by `refmill doctor --objects`.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from threading import Lock

from refmill.formats import hashing

MOST = 50_000  # objects that are remembered: some megabytes
_known: OrderedDict[tuple[int, int], tuple[int, int, str]] = OrderedDict()
_guard = Lock()


def known(status: os.stat_result, md5: str) -> bool:
    """Whether the file with that status was found to hold `md5`."""
    return _known.get((status.st_dev, status.st_ino)) == (status.st_mtime_ns, status.st_size, md5)


def note(status: os.stat_result, md5: str) -> None:
    """Remember that it does."""
    with _guard:
        _known[status.st_dev, status.st_ino] = (status.st_mtime_ns, status.st_size, md5)
        while len(_known) > MOST:
            _known.popitem(last=False)


def holds(path: Path, md5: str) -> bool:
    """Whether the file holds what the object's name `md5` says. Raises OSError if it cannot be read."""
    status = path.stat()
    if known(status, md5):
        return True
    old = md5.startswith(hashing.OLD)
    found = hashing.old_md5(path) if old else hashing.md5_file(path)[0]
    if found != md5.removeprefix(hashing.OLD)[:32]:
        return False
    note(status, md5)
    return True
