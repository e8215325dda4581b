"""A command on a terminal, as a person has it."""

from __future__ import annotations

import os
import pty
import select
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

INTERRUPT = b"\x03"


def typed(
    command: Sequence[str], cwd: Path, *, keys: Mapping[bytes, bytes] | None = None, seconds: float = 60
) -> tuple[int, bytes]:
    """The exit code of `command`, and all that it showed. `keys` are typed once each when the words they stand for have
    been shown. Raises AssertionError, and kills it, if it takes more than `seconds`."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.environ["TERM"] = "xterm"
        os.execvp(command[0], command)
    shown, waiting, until = b"", dict(keys or {}), time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            if not select.select([terminal], [], [], 0.2)[0]:
                continue
            try:
                piece = os.read(terminal, 1 << 16)
            except OSError:  # the other end is closed
                return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown
            shown += piece
            for words in [words for words in waiting if words in shown]:
                os.write(terminal, waiting.pop(words))
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        raise AssertionError(f"it takes too long; the last that it showed: {shown[-500:]!r}")
    finally:
        os.close(terminal)
