"""What the servers that tests start have in common: a process with a session of its own, which writes into a log."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class ServerProcess:
    """A server that works in `folder`; `begin` and `end` may be called again and again."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    def begin(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start it."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **options
            )
        return self.process

    def begin_until(self, command: Sequence[str], seconds: float, **options: Any) -> None:
        """Start it, and wait until it answers."""
        process, end = self.begin(command, **options), time.monotonic() + seconds
        while not self.answers():
            if process.poll() is not None or time.monotonic() > end:
                self.end()
                raise AssertionError(f"{Path(command[0]).name} does not start: {self.log()[-3000:]}")
            time.sleep(0.05)

    def answers(self) -> bool:
        """Whether it can be used."""
        raise NotImplementedError

    def log(self) -> str:
        """What it said."""
        return (self.folder / "log").read_text(errors="replace")

    def end(self) -> None:
        """End it, as a power cut does."""
        if self.process is not None:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
