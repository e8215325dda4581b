"""An attempt of a stage, carried out by the real supervisor in a process of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import refmill
from refmill.engine import cgroups

SCRIPT = Path(refmill.__file__).parent / "step" / "supervisor.py"


class Attempt:
    """An attempt in `directory`, with a control group of that description or watched."""

    def __init__(self, directory: Path, group: dict[str, Any] | None = None) -> None:
        self.directory = directory
        self.group = group

    def write(self, *commands: str, **spec) -> Path:
        """Its spec."""
        spec = {
            "commands": [{"argv": ["/bin/sh", "-c", line], "shown": line} for line in commands],
            "cwd": str(self.directory), "env": {"PATH": os.environ["PATH"], "MARK": str(self.directory)},
            "marker": f"MARK={self.directory}", "grace": 0.5, "group": self.group, **spec,
        }  # fmt: skip
        path = self.directory / "spec.json"
        path.write_text(json.dumps(spec))
        return path

    def start(self, *commands: str, **spec) -> subprocess.Popen:
        return subprocess.Popen([sys.executable, "-I", "-S", SCRIPT, self.write(*commands, **spec)])

    def run(self, *commands: str, **spec) -> dict:
        assert self.start(*commands, **spec).wait(30) == 0
        return self.exit()

    def exit(self) -> dict:
        return json.loads((self.directory / "exit.json").read_text())

    def log(self) -> list[str]:
        return [line.split(" ", 2)[2] for line in (self.directory / "log").read_text().split("\n")[:-1]]

    def wait_for(self, word: str) -> None:
        until = time.monotonic() + 10
        while word not in ((self.directory / "log").read_text() if (self.directory / "log").exists() else ""):
            assert time.monotonic() < until, word
            time.sleep(0.01)

    def reap(self) -> int:
        """What is done for an attempt whose supervisor is dead."""
        command = [sys.executable, "-I", "-S", SCRIPT, "--reap", self.directory / "spec.json"]
        return subprocess.run(command, check=False).returncode

    def folders(self) -> list[Path]:
        """Where its control group is or would be."""
        places = self.group["places"].values() if self.group else []
        return [Path(parent) / self.group["name"] for parent, _ in places]

    def living(self) -> list[str]:
        """Command lines of processes that carry the attempt's mark and are no zombies."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                if f"MARK={self.directory}".encode() in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                    found.append(Path(f"/proc/{name}/cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
        return found


def found_groups(name: str) -> cgroups.Groups:
    """Control groups for a test, which is skipped where there can be none."""
    found = cgroups.find("auto", name)
    if not found.version:
        assert not _given(), f"this machine has them, and they are not used: {found.why}"
        pytest.skip(f"no control groups: {found.why}")
    return found


def _given() -> bool:
    """Whether anybody can see without our code that groups can be made here: those of version 1, as root."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, kind, path = line.split(":", 2)
        place = Path("/sys/fs/cgroup") / kind / path.lstrip("/") / f"refmill-seen-{os.getpid()}"
        if kind in ("pids", "memory"):
            try:
                place.mkdir()
                place.rmdir()
            except OSError:
                return False
    return Path("/sys/fs/cgroup/pids").exists()


@pytest.fixture(scope="session", name="groups")
def given_groups() -> Iterator[cgroups.Groups]:
    """The control groups that work here."""
    found = found_groups(f"refmill-tests-{os.getpid()}")
    yield found
    found.leave()
    assert not [parent for parent, _ in found.places.values() if Path(parent).exists()]
