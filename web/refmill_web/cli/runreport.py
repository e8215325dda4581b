"""What `refmill run` shows: a line for each thing that happens, and on a terminal a table below them that is alive."""

from __future__ import annotations

import sys
import threading
from typing import Protocol, Self

import click

from refmill.model.runs import StageStatus
from refmill.plans.decide import UNCHANGED
from refmill.texts import Text, text
from refmill_web.cli.moments import duration
from refmill_web.cli.runboard import MARKS, Board
from refmill_web.cli.speech import echo, padded, say

WIDEST = 32
"""Columns up to which names are filled up with blanks: a longer one is rare, and moves its own line alone."""
FEW = 8
"""Unchanged stages that are named one by one; more are counted."""


class Display(Protocol):
    """Where finished lines go, while something below them may be alive."""

    def print(self, line: str) -> None:
        """One line, with ANSI colours."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


class Plain:
    """Lines, and nothing else: in a pipe."""

    def __init__(self, *, err: bool = False) -> None:
        self._err = err

    def print(self, line: str) -> None:
        echo(line, err=self._err)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return


class Report:
    """The engine's report as lines, in the order in which things happen; a stage's own lines bear its name. Unchanged
    stages are held back, and counted if they are more than a few."""

    def __init__(self, board: Board, display: Display, *, quiet: bool = False, verbose: bool = False) -> None:
        self._board, self._display, self._quiet, self._verbose = board, display, quiet, verbose
        self._unchanged: list[str] = []
        self._saying = threading.Lock()

    def stage(self, address: str, status: StageStatus, seconds: float | None, why: Text | None) -> None:
        """A stage changed its state."""
        with self._saying:
            self._board.note(address, status, seconds)
            if self._quiet:
                return
            words = duration(seconds) if status == "succeeded" else say(why) if why else ""
            if status == "cached" and not self._verbose and why == UNCHANGED:
                self._unchanged.append(address)
                return
            self._print(address, status, words)

    def line(self, address: str, line: str) -> None:
        """A command printed a line."""
        with self._saying:
            self._board.said(address, line)
            name = padded(click.style(address, fg="cyan"), min(self._board.width, WIDEST))
            self._display.print(f"  {name}  {line}")

    def close(self) -> None:
        """Tell of the unchanged stages."""
        if len(self._unchanged) <= FEW:
            for address in self._unchanged:
                self._print(address, "cached", say(UNCHANGED))
        else:
            mark, colour = MARKS["cached"]
            words = say(text("unchanged: %(count)s stages", count=len(self._unchanged)))
            self._display.print(f"{click.style(mark, fg=colour)} {words}")

    def _print(self, address: str, status: StageStatus, words: str) -> None:
        self._display.print(stage_line(address, status, words, self._board.width))


def stage_line(address: str, status: StageStatus, words: str, width: int) -> str:
    """What became of a stage; the words of all lines begin in one column, as far as their names let them."""
    mark, colour = MARKS[status]
    name = padded(click.style(address, bold=True), min(width, WIDEST))
    return f"{click.style(mark, fg=colour)} {name}  {words}".rstrip()


def display(board: Board, *, as_json: bool) -> Display:
    """A live table on a terminal, lines elsewhere; with JSON on stdout the lines go to stderr."""
    if as_json or not sys.stdout.isatty():
        return Plain(err=as_json)
    from refmill_web.cli.runtable import Live  # noqa: PLC0415 - Rich starts slowly, and a pipe does not need it

    return Live(board)
