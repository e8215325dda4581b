"""How values look on a page: durations, times, sizes, hashes, numbers, states."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Flask
from flask_babel import format_datetime, gettext, ngettext
from markupsafe import Markup

from refmill.model.runs import RunStatus, StageStatus
from refmill_web import assets
from refmill_web.words import STATES

STATE_ICONS: Mapping[str, str] = {
    "pending": "clock",
    "queued": "clock",
    "blocked": "link",
    "running": "loader-2",
    "cached": "bolt",
    "succeeded": "circle-check",
    "failed": "circle-x",
    "skipped": "circle-minus",
    "superseded": "circle-minus",
    "nothing": "circle-minus",
    "stopped": "player-stop",
    "paused": "player-pause",
}


def install(app: Flask) -> None:
    """The filters and globals of the templates."""
    app.jinja_env.filters.update(
        duration=duration, size=size, sha=short, moment=moment, number=number, count=count, clock=clock
    )
    app.jinja_env.globals.update(icon=assets.icon, asset=assets.address, state=state, island=island)


def duration(seconds: float | None) -> str:
    """`0.2 s`, `41 s`, `1 m 12 s`, `2 h 05 m`; "" where unknown. Whole numbers stay whole."""
    if seconds is None:
        return ""
    if seconds < 9.95 and not isinstance(seconds, int):
        return str(gettext("%(seconds)s s", seconds=f"{max(seconds, 0):.1f}"))
    whole = round(seconds)
    if whole < 60:
        return str(gettext("%(seconds)s s", seconds=whole))
    if whole < 3600:
        return str(gettext("%(minutes)s m %(seconds)s s", minutes=whole // 60, seconds=f"{whole % 60:02d}"))
    return str(gettext("%(hours)s h %(minutes)s m", hours=whole // 3600, minutes=f"{whole % 3600 // 60:02d}"))


def size(count: int | None) -> str:
    """Bytes as `412 B`, `1.3 KiB`, `41 MiB`; "" where unknown."""
    if count is None:
        return ""
    value, units = float(count), iter(("B", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while value >= 1023.5 and unit != "TiB":
        value, unit = value / 1024, next(units)
    return f"{value:.0f} {unit}" if unit == "B" or value >= 9.95 else f"{value:.1f} {unit}"


def short(sha: str) -> str:
    """The first seven characters of a hash."""
    return sha[:7]


def now() -> int:
    """UTC microseconds."""
    return time.time_ns() // 1000


def moment(micros: int | None) -> Markup:
    """A time as “3 minutes ago”, absolute on hover; the page's script keeps it true and in the reader's zone."""
    if micros is None:
        return Markup("")
    when = datetime.fromtimestamp(micros / 1e6, UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        when.isoformat(timespec="seconds"), format_datetime(when, "medium") + " UTC", ago((now() - micros) / 1e6)
    )


def ago(seconds: float) -> str:
    """How long ago, in one unit."""
    if seconds < 45:
        return str(gettext("just now"))
    if seconds < 2700:
        return str(ngettext("%(num)s minute ago", "%(num)s minutes ago", max(1, round(seconds / 60))))
    if seconds < 72000:
        return str(ngettext("%(num)s hour ago", "%(num)s hours ago", max(1, round(seconds / 3600))))
    if seconds < 30 * 86400:
        return str(ngettext("%(num)s day ago", "%(num)s days ago", max(1, round(seconds / 86400))))
    return str(format_datetime(datetime.fromtimestamp(now() / 1e6 - seconds, UTC), "yyyy-MM-dd"))


def clock(micros: int) -> str:
    """`10:32:08` (UTC; the page's script turns it into the reader's zone)."""
    return datetime.fromtimestamp(micros / 1e6, UTC).strftime("%H:%M:%S")


def number(value: Any) -> str:
    """A metric or a parameter: numbers with six significant digits, the rest as JSON."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else str(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def count(value: int) -> str:
    """A count with narrow groups of three: 12 345."""
    return f"{value:,}".replace(",", "\u202f")


def state(status: RunStatus | StageStatus, note: str = "", *, bare: bool = False) -> Markup:
    """A state as icon, word and colour; `note` stands in place of the word, `bare` hides it but for readers aloud."""
    word = note or gettext(STATES[status].english)
    return Markup('<span class="state {}" title="{}">{}<span{}>{}</span></span>').format(
        status, word, assets.icon(STATE_ICONS[status]), Markup(' class="visually-hidden"') if bare else "", word
    )


def island(identifier: str, data: Any) -> Markup:
    """Data for a script, in the page: JSON in which nothing can end the element."""
    body = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        body = body.replace(character, f"\\u{ord(character):04x}")
    return Markup('<script type="application/json" id="{}">{}</script>').format(identifier, Markup(body))  # noqa: S704 - escaped above
