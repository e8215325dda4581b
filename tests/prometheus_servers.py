"""The real Prometheus for tests: Debian's `prometheus` on a free port of loopback, and its `promtool`."""

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from server_processes import ServerProcess, free_port

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
class Prometheus(ServerProcess):
    """A server with its data in `folder`, which is there; `end` may be called at any time."""

    folder: Path
    port: int = field(default_factory=free_port)

    def start(self, configuration: str) -> "Prometheus":
        """With this prometheus.yml, until it answers."""
        (self.folder / "prometheus.yml").write_text(configuration)
        command = [
            program("prometheus"), f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}", f"--web.listen-address=127.0.0.1:{self.port}",
        ]  # fmt: skip
        self.begin_until(command, SECONDS, cwd=self.folder)
        return self

    def answers(self) -> bool:
        """Whether it takes questions."""
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/-/ready", timeout=2).status_code == 200
        except requests.ConnectionError:
            return False

    def get(self, path: str, **asked: str) -> Any:
        """What its HTTP API answers. Raises AssertionError where it refuses the question."""
        answer = requests.get(f"http://127.0.0.1:{self.port}/api/v1/{path}", params=asked, timeout=20).json()
        assert answer["status"] == "success", (path, asked, answer)
        assert not answer.get("warnings"), (path, asked, answer["warnings"])
        return answer["data"]
