"""The real Prometheus for tests: Debian's `prometheus` on a free port of loopback, and its `promtool`."""

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from s3_servers import free_port

SECONDS = 30.0
MISSING = "no Prometheus: the Debian package prometheus has it"


def program(name: str) -> str:
    """`prometheus` or `promtool`; without one the test is skipped."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(MISSING)
    return found


def promtool(*words: str, said: str = "", folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A command of `promtool`, which reads `said`."""
    return subprocess.run(
        [program("promtool"), *words], input=said, cwd=folder, capture_output=True, text=True, check=False
    )


@dataclass
class Prometheus:
    """A server with its data in `folder`, which is there; `stop` may be called at any time."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self, configuration: str) -> "Prometheus":
        """With this prometheus.yml, until it answers."""
        (self.folder / "prometheus.yml").write_text(configuration)
        command = [
            program("prometheus"), f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}", f"--web.listen-address=127.0.0.1:{self.port}",
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise AssertionError(f"prometheus does not start: {self.log()[-3000:]}")
            time.sleep(0.05)
        return self

    def _answers(self) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/-/ready", timeout=2).status_code == 200
        except requests.ConnectionError:
            return False

    def log(self) -> str:
        """What it said."""
        return (self.folder / "log").read_text(errors="replace")

    def get(self, path: str, **asked: str) -> Any:
        """What its HTTP API answers. Raises AssertionError where it refuses the question."""
        answer = requests.get(f"http://127.0.0.1:{self.port}/api/v1/{path}", params=asked, timeout=20).json()
        assert answer["status"] == "success", (path, asked, answer)
        assert not answer.get("warnings"), (path, asked, answer["warnings"])
        return answer["data"]

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
