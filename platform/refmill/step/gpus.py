"""How much memory of GPUs a tree of processes holds, asked of the driver's own program every few seconds.

The rule to keep: asking never holds up the supervisor, however long the program takes, and costs nothing without GPUs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from typing import IO, Iterable

PROGRAM = "nvidia-smi"
QUESTION = ("--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits")
MEBI = 1 << 20  # the unit of its answers
FIRST = 1.0  # seconds before the first question: a short command is not worth one
PAUSE = 5.0  # seconds between two: each costs a tenth of a second of a core
LONGEST = 30.0  # seconds; a driver that hangs gives no answer at all


class Gpus:
    """Watches a tree; `peak` are the most bytes that were seen, `asked` is the program's process while it runs."""

    def __init__(self) -> None:
        self.peak = 0
        self.asked = 0
        self._program = shutil.which(PROGRAM)
        self._next = time.monotonic() + FIRST
        self._pipe: IO[bytes] | None = None
        self._answer = b""

    def look(self, tree: Iterable[int]) -> None:
        """Take what there is of an answer, or ask anew; returns at once."""
        now = time.monotonic()
        if self._pipe is not None:
            answered = self._listen(self._pipe, tree)
            if not answered and now > self._next + LONGEST:
                self._give_up()
        elif self._program is not None and not self.asked and now >= self._next:
            self._ask(self._program)
            self._next = now + PAUSE

    def buried(self, pid: int) -> None:
        """The process `pid` has been waited for: its number may be another's soon."""
        if pid == self.asked:
            self.asked = 0

    def close(self) -> None:
        """Ask no more."""
        self._program = None
        self._give_up()

    def _give_up(self) -> None:
        """Wait no longer for an answer."""
        if self.asked:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.asked, signal.SIGKILL)
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    def _ask(self, program: str) -> None:
        try:
            process = subprocess.Popen(
                [program, *QUESTION], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError:
            self._program = None
            return
        self.asked, self._pipe, self._answer = process.pid, process.stdout, b""
        process.returncode = 0  # whoever waits for all children waits for it too
        if self._pipe is not None:
            os.set_blocking(self._pipe.fileno(), False)

    def _listen(self, pipe: IO[bytes], tree: Iterable[int]) -> bool:
        """Whether the answer is whole."""
        try:
            while True:
                data = os.read(pipe.fileno(), 1 << 16)
                if not data:
                    break
                self._answer += data
        except BlockingIOError:
            return False
        pipe.close()
        self._pipe = None
        self.peak = max(self.peak, held(self._answer, tree))
        return True


def held(answer: bytes, tree: Iterable[int]) -> int:
    """Bytes that the processes `tree` hold by the program's answer: lines of "pid, MiB". A process has a line for each
    of its GPUs; where the driver does not tell, a word in brackets stands for the number."""
    known = frozenset(tree)
    total = 0
    for line in answer.splitlines():
        pid, _, size = line.partition(b",")
        if pid.strip().isdigit() and size.strip().isdigit() and int(pid) in known:
            total += int(size) * MEBI
    return total
