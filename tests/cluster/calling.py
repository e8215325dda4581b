"""Starts programs and says what they said when they fail."""

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cluster.errors import ClusterError

LAST = 15
"""Lines of a failed program's output that are shown."""


def call(command: Sequence[str | Path], *, stdin: str = "", seconds: float = 120) -> str:
    """What a command says on its standard output; raises ClusterError with its complaint where it fails."""
    try:
        done = subprocess.run(
            [str(word) for word in command], input=stdin, capture_output=True, text=True, check=False, timeout=seconds
        )
    except FileNotFoundError as error:
        raise ClusterError(f"there is no program {command[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"no answer within {seconds:.0f} s from: {shown(command)}") from error
    if done.returncode:
        raise ClusterError(f"{shown(command)} ended with {done.returncode}:\n{last_lines(done.stderr + done.stdout)}")
    return done.stdout


def shown(command: Sequence[str | Path]) -> str:
    """The beginning of a command line."""
    line = " ".join(str(word) for word in command)
    return line if len(line) <= 200 else f"{line[:200]}…"


def last_lines(output: str, count: int = LAST) -> str:
    """The end of some output."""
    return "\n".join(output.rstrip().splitlines()[-count:])


def wait(until: Callable[[], bool], what: str, seconds: float, pause: float = 0.1) -> None:
    """Come back as soon as `until` is true; raises ClusterError after `seconds`."""
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            raise ClusterError(f"not within {seconds:.0f} s: {what}")
        time.sleep(pause)
