"""Times and durations for people and for JSON."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def rfc3339(microseconds: int | None) -> str | None:
    """UTC microseconds as `2026-01-31T12:00:00.123456Z`."""
    if microseconds is None:
        return None
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def minute(microseconds: int) -> str:
    """UTC microseconds as `2026-01-31 12:00`, in the zone of this machine."""
    return datetime.fromtimestamp(microseconds / 1e6, UTC).astimezone().strftime("%Y-%m-%d %H:%M")


def duration(seconds: float | None) -> str:
    """`0.4 s`, `12 s`, `1 m 12 s`, `2 h 03 m`."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} m"
    return f"{minutes} m {rest:02d} s" if minutes else f"{rest} s"


def between(started: int | None, finished: int | None) -> float | None:
    """Seconds from one time to another, or until now."""
    if started is None:
        return None
    return ((finished or time.time_ns() // 1000) - started) / 1e6
