"""What `refmill run` shows: a line for each thing that happens, and on a terminal a table below them that is alive."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from statistics import fmean
from typing import Protocol, Self

import click

from refmill.model.plans import Plan
from refmill.model.runs import StageStatus
from refmill.plans import estimate
from refmill.plans.decide import UNCHANGED
from refmill.texts import Text, text
from refmill_web.cli.moments import duration
from refmill_web.cli.speech import say

MARKS: dict[str, tuple[str, str | None]] = {
    "running": ("◔", "blue"), "succeeded": ("✓", "green"), "cached": ("⚡", "cyan"), "failed": ("✗", "red"),
    "blocked": ("✗", "red"), "skipped": ("–", None), "stopped": ("■", "yellow"),
}  # fmt: skip
FEW = 8
"""Unchanged stages that are named one by one; more are counted."""


class Board:
    """Where a run stands: what the lines and the table show. Safe for several threads.

    The rule to keep: whoever holds `lock` calls no display. A table is drawn with the display's own lock held, and asks
    here meanwhile: two threads that take the two in turn wait for each other for ever.
    """

    def __init__(self, plan: Plan, before: Mapping[str, float], jobs: int) -> None:
        self._plan, self._before, self._jobs = plan, dict(before), jobs
        self._groups = {item.stage.address: (item.stage.file, item.stage.group) for item in plan.stages}
        self.lock = threading.RLock()
        self.last: dict[str, str] = {}
        self.began: dict[str, float] = {}
        self.printed: dict[str, str] = {}

    def note(self, address: str, status: StageStatus, seconds: float | None = None) -> None:
        """A stage changed its state; `seconds` is what it took."""
        with self.lock:
            self.last[address] = status
            if status == "succeeded" and seconds is not None:
                self._before[address] = seconds
            if status == "running":
                self.began[address] = time.monotonic()
            else:
                self.began.pop(address, None)
                self.printed.pop(address, None)

    def said(self, address: str, line: str) -> None:
        """A command printed a line."""
        with self.lock:
            self.printed[address] = line

    def counts(self) -> Counter[str]:
        """How many stages stand at each state; "pending" are those that have not begun."""
        with self.lock:
            found = Counter(self.last.values())
        found["pending"] = len(self._plan.stages) - sum(found.values())
        return found

    def left(self) -> estimate.Estimate:
        """When it will be over, as far as earlier runs tell; of a stage that never ran here its siblings of the same
        foreach or matrix do. Stages that the plan has as cached take no time."""
        with self.lock:
            waiting = [item.stage.address for item in self._plan.stages if item.stage.address not in self.last]
            running = {address: time.monotonic() - began for address, began in self.began.items()}
        upstream = {item.stage.address: item.upstream for item in self._plan.stages}
        known = {item.stage.address: 0.0 for item in self._plan.stages if item.verdict == "cached"}
        return estimate.remaining(waiting, running, upstream, {**self._seconds(), **known}, self._jobs)

    def _seconds(self) -> dict[str, float]:
        with self.lock:
            before = dict(self._before)
        siblings: dict[tuple[str, str], list[float]] = {}
        for address, group in self._groups.items():
            if address in before:
                siblings.setdefault(group, []).append(before[address])
        guessed = {address: fmean(siblings[group]) for address, group in self._groups.items() if group in siblings}
        return {**guessed, **before}


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
        click.echo(line, err=self._err)

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
            self._display.print(f"  {click.style(address, fg='cyan')}  {line}")

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
        mark, colour = MARKS[status]
        line = f"{click.style(mark, fg=colour)} {click.style(address, bold=True)}  {words}"
        self._display.print(line.rstrip())


def display(board: Board, *, as_json: bool) -> Display:
    """A live table on a terminal, lines elsewhere; with JSON on stdout the lines go to stderr."""
    if as_json or not sys.stdout.isatty():
        return Plain(err=as_json)
    from refmill_web.cli.runtable import Live  # noqa: PLC0415 - Rich starts slowly, and a pipe does not need it

    return Live(board)
