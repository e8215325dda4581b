"""What must hold of a platform after every hostile thing: nothing died, nothing grew, nothing broke, nothing leaked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from tally import TALLY

from platforms import Platform, wait

PARTS = ("web", "engine", "resolver")
LARGEST = 700 << 20
"""Bytes of resident memory that no part may pass; at rest each has about a hundred million."""
BROKEN = re.compile(r"Traceback|could not be planned|is started again| ERROR | CRITICAL |broken off|Exception")
"""What the log says where something went wrong that nobody foresaw."""
FEW = 500
MANY = 10_000
FIRST = int(os.environ.get("REFMILL_SEED", "1"))


@dataclass
class Watch:
    """Eyes on a running platform; `check` tells what is not as it was."""

    platform: Platform
    outside: Path
    children: dict[str, int] = field(default_factory=dict)
    read: int = 0

    def __post_init__(self) -> None:
        self.children = self._parts()
        assert sorted(self.children) == sorted(PARTS)
        self.before = self._outside()

    def _parts(self) -> dict[str, int]:
        """The pids of the platform's processes by their names."""
        assert self.platform.process is not None
        parent = self.platform.process.pid
        found = {}
        for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            for word in words:
                if word.startswith(b"refmill_web.processes."):
                    found[word.rpartition(b".")[2].decode()] = int(pid)
        return found

    def _outside(self) -> set[str]:
        """What lies beside the data directory, in the tests' home, and in the places that hostile files name."""
        folders = [self.platform.data.parent, Path(os.environ["HOME"]), self.outside]
        found = {str(path) for folder in folders for path in folder.iterdir()}
        return {path for path in found if not Path(path).name.startswith("tmp")}  # those of tests' own working copies

    def check(self, what: str) -> None:
        """After `what`: the same processes live, the log tells of no fault, and the platform is ready."""
        assert self._parts() == self.children, f"{what}: {self.log()[-3000:]}"
        said = self.log()
        fresh, self.read = said[self.read :], len(said)
        assert not BROKEN.search(fresh), f"{what}: {fresh[-4000:]}"
        assert self.ready() == {"status": "ok", "missing": []}, what

    def check_all(self, what: str) -> None:
        """The same, and nothing has grown or was left outside; every repository is whole."""
        self.check(what)
        for name, pid in self.children.items():
            found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
            assert found is not None
            TALLY.peaks[name] = int(found[1]) << 10
            assert int(found[1]) << 10 < LARGEST, f"{what}: {name} took {found[1]} kB"
        assert self._outside() <= self.before, what
        for place in sorted((self.platform.data / "repos").glob("*.git")):
            done = subprocess.run(
                ["git", "fsck", "--no-dangling"], cwd=place, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{what}: {place}: {done.stdout}{done.stderr}"
            assert not list(place.glob("objects/tmp_objdir-*")), what

    def ready(self) -> object:
        """What /readyz says, within five seconds."""
        with urllib.request.urlopen(f"{self.platform.address}/readyz", timeout=5) as answer:
            return json.load(answer)

    def log(self) -> str:
        """What the platform said so far."""
        return self.platform.log()

    def settled(self, what: str) -> None:
        """Until every push is planned."""
        open_events = "SELECT id FROM events WHERE state IN ('announced', 'landed')"
        wait(lambda: not self.platform.query(open_events), f"{what} is planned; {self.log()[-3000:]}", 30)
