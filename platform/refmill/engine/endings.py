"""How an attempt ended, in words that say what to do next.

The rule to keep: the reason is the one its supervisor recorded; nothing is guessed from an exit code.
"""

from __future__ import annotations

import signal
from typing import Protocol

from refmill import errors
from refmill.engine import amounts
from refmill.engine.stages import Bounds
from refmill.engine.supervision import Exit
from refmill.texts import Text, text

PASSED = frozenset({"processes", "disk", "files", "deep", "disk-full"})
NONE = Bounds()
FINAL = frozenset({"stopped", "stuck", "environment"})
"""Reasons after which no retry helps."""
FAULTS = frozenset({"lost", "stuck", "disk-full", "start-failed"})
"""Reasons for which the machine is to blame, and not the stage."""
LOSSES = 3
"""Times that a vanished attempt is begun again: a command that kills its supervisor, or its node, must not run for
ever."""
NOT_FOUND = 127  # POSIX shells: the command was not found
NOT_EXECUTABLE = 126  # POSIX shells: it was found and could not be run


class Failed(Protocol):
    """What is told of work that failed: why, and whether the machine or the platform is to blame."""

    def __call__(self, why: Text, /, *, fault: bool) -> None:
        """Go on without it."""


def again(reason: str, *, failures: int, losses: int, retries: int) -> bool:
    """Whether another attempt follows one that ended for `reason`, after so many that failed and were lost before."""
    return losses < LOSSES if reason == "lost" else reason not in FINAL and failures < retries


def out_of_memory(memory: int) -> Text:
    """The reason of an attempt that took more than `memory` bytes."""
    limit, more = amounts.size(memory), amounts.size(memory * 2)
    return text("ran out of its %(limit)s of memory: try %(more)s", limit=limit, more=more)


def out_of_disk(size: int) -> Text:
    """The reason of an attempt that wrote more than `size` bytes."""
    return text(
        "its folders took more than %(size)s of disk and it was ended: write less, or have the operator raise"
        " stage_disk",
        size=amounts.size(size),
    )


def unset(secret: str, repository: str) -> Text:
    """The reason of a stage that names a secret which is not set."""
    return text(
        "the secret “%(name)s” is not set: `refmill secret set %(repository)s %(name)s`, then retry",
        name=secret, repository=repository,
    )  # fmt: skip


def explain(end: Exit, *, memory: int, timeout: float | None, bounds: Bounds = NONE) -> Text | None:
    """The reason of a bad end, None for a good one. `memory` (bytes), `timeout` (seconds) and `bounds` are in force."""
    if end.reason == "timeout":
        return text("took longer than %(limit)s and was ended", limit=amounts.duration(timeout or end.seconds))
    if end.reason == "memory":
        return out_of_memory(memory)
    if end.reason in PASSED:
        return _passed(end.reason, bounds)
    if end.reason == "stopped":
        return text("was stopped")
    if end.reason == "lost":
        return text("its processes disappeared without a word: the machine was restarted, or somebody killed them")
    if end.reason == "stuck":
        return text("its supervisor disappeared, and processes that it left behind cannot be ended")
    if end.reason == "start-failed":
        return text("could not be started: %(detail)s", detail=end.detail)
    return _exited(end)


def _passed(reason: str, bounds: Bounds) -> Text:
    """Which bound of the installation was passed, and how it is moved."""
    if reason == "processes":
        return text(
            "had more than %(count)s processes and threads and was ended: start fewer, or have the operator raise"
            " stage_processes",
            count=f"{bounds.processes:,}",
        )
    if reason == "disk":
        return out_of_disk(bounds.disk)
    if reason == "files":
        return text(
            "made more than %(count)s files and was ended: pack them together, or have the operator raise stage_files",
            count=f"{bounds.files:,}",
        )
    if reason == "deep":
        return text("nested its folders too deep and was ended: at most 200 levels can be looked through")
    return text(
        "was ended because the server's disk is nearly full (less than %(size)s left): have the operator make room",
        size=amounts.size(bounds.keep),
    )


def ours(error: Exception) -> bool:
    """Whether the machine or the platform is to blame for an error, and not what somebody pushed."""
    return isinstance(error, errors.Unavailable | errors.Damaged) or not isinstance(error, errors.RefmillError)


def told(error: errors.RefmillError) -> Text:
    """What a page shows of a stage that failed of it: also what can be done, where the machine is to blame."""
    if isinstance(error, errors.Unavailable | errors.Damaged) and error.remedy is not None:
        return text("%(what)s. %(remedy)s", what=error.message, remedy=error.remedy)
    return error.message


def _exited(end: Exit) -> Text | None:
    if end.code and end.detail and errors.of_disk(end.detail):  # its log could not be written any more
        full = text("the disk of the server was full while it ran")
        return text("ended with exit code %(code)s; %(detail)s", code=end.code, detail=full)
    if end.signal is not None:
        try:
            name = signal.Signals(end.signal).name
        except ValueError:
            name = "?"
        return text("was killed by signal %(number)s (%(name)s) from outside", number=end.signal, name=name)
    if end.code == NOT_FOUND:
        return text("ended with exit code 127: a command in it was not found")
    if end.code == NOT_EXECUTABLE:
        return text("ended with exit code 126: a command in it could not be run")
    if end.code:
        return text("ended with exit code %(code)s", code=end.code)
    return None
