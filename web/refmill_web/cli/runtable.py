"""The live table of `refmill run`: what runs now and for how long, what it printed last, how far the run is."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console, Group
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text as RichText

from refmill.texts import text
from refmill_web.cli.moments import duration
from refmill_web.cli.runboard import MARKS, Board
from refmill_web.cli.speech import say
from refmill_web.escapes import harmless

ROWS = 8
"""Running stages that are shown; the others are counted."""
LOOKS = 8
"""Times a second that the table is drawn anew."""
BAR = 24


class Live:
    """Prints lines above a table that is drawn anew while the run goes on, and gone when it is over."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._console = Console(highlight=False)
        self._live = RichLive(
            get_renderable=self._draw, console=self._console, refresh_per_second=LOOKS, transient=True,
            redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip

    def print(self, line: str) -> None:
        self._console.print(RichText.from_ansi(harmless(line)), soft_wrap=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def _draw(self) -> Group:
        counts = self._board.counts()
        total = sum(counts.values())
        ended = total - counts["pending"] - counts["running"]
        foot = Table.grid(padding=(0, 2))
        foot.add_row(ProgressBar(total=max(total, 1), completed=ended, width=BAR), self._words(ended, total))
        return Group(self._running(), foot)

    def _running(self) -> Table:
        rows = Table.grid(padding=(0, 2))
        rows.add_column(no_wrap=True)
        rows.add_column(no_wrap=True, justify="right")
        rows.add_column(no_wrap=True, overflow="ellipsis", style="dim")
        with self._board.lock:
            began = list(self._board.began.items())
            printed = dict(self._board.printed)
        mark, colour = MARKS["running"]
        for address, since in began[:ROWS]:
            name = RichText.assemble((mark, colour or ""), " ", (address, "bold"))
            said = RichText.from_ansi(harmless(printed.get(address, "")))
            rows.add_row(name, duration(time.monotonic() - since), said)
        if len(began) > ROWS:
            rows.add_row(say(text("… and %(count)s more", count=len(began) - ROWS)))
        return rows

    def _words(self, ended: int, total: int) -> str:
        left = self._board.left()
        words = [say(text("%(ended)s of %(total)s stages", ended=ended, total=total))]
        if left.seconds >= 1:
            words.append(say(text("about %(time)s left", time=duration(left.seconds))))
        if left.unknown:
            words.append(say(text("%(count)s have not run here before", count=left.unknown)))
        return " · ".join(words)
