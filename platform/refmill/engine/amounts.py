"""Sizes and times as people write them into refmill.yaml."""

from __future__ import annotations


def size(count: int) -> str:
    """Bytes for people."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count} B"


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 120:  # two minutes and more read better in minutes
        return f"{seconds:g} s"
    if seconds < 7200:  # two hours and more read better in hours
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.3g} h"
