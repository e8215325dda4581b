"""Keeps the copies of objects that are in a bucket from filling the disk."""

from __future__ import annotations

import os
from pathlib import Path

FILLED = 0.9
"""To what part of the limit room is made, so that it is not made again for each object."""


def trim(stores: Path, limit: int) -> int:
    """Where the copies below `stores` take up more than `limit` bytes, take away those that were not used for longest;
    how many. A stage that holds one keeps it: its file has another name there."""
    found: list[tuple[int, int, Path]] = []
    for path in stores.glob("*/files/md5/*/*"):
        try:
            facts = path.stat()
        except FileNotFoundError:
            continue
        found.append((facts.st_atime_ns, facts.st_size, path))
    total, gone = sum(size for _, size, _ in found), 0
    if total <= limit:
        return 0
    for _, size, path in sorted(found):
        if total <= limit * FILLED:
            break
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue
        total, gone = total - size, gone + 1
    return gone
