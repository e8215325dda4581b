"""The real runner.pyz as a process, beside the platform as pods see it (`fakes.pod_server`)."""

from __future__ import annotations

import glob
import io
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

from fakes.pod_server import RUN, TOKEN, PodServer
from refmill_argo import packing

FILES = {"dvc.yaml": b"stages: {}\n", "src/tool.sh": b"echo tool\n", "read me.txt": b"hello\n"}


def pythons() -> list[str]:
    """A Python of each version from 3.8 on that this machine has; the one that runs the tests is the first."""
    found = {sys.version_info[:2]: sys.executable}
    places = [*os.environ.get("PATH", "").split(":"), *glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin"))]
    for path in (name for place in places for name in glob.glob(f"{place}/python3.*")):
        if (named := re.search(r"/python3\.(\d+)$", path)) and int(named[1]) >= 8 and "shims" not in path:
            found.setdefault((3, int(named[1])), path)
    return list(found.values())


def archive(files: dict[str, bytes] | None = None, folder: Path | None = None) -> bytes:
    """A commit as pods get it: of `files`, or of all that lies in `folder`."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as tar:
        if folder is not None:
            for path in sorted(folder.iterdir()):
                tar.add(path, path.name)
        for name, data in (FILES if files is None and folder is None else files or {}).items():
            facts = tarfile.TarInfo(name)
            facts.size, facts.mode, facts.mtime = len(data), 0o644, 1_700_000_000
            tar.addfile(facts, io.BytesIO(data))
    return whole.getvalue()


class Pod:
    """One pod after another, each with a volume of its own unless it is told where the last one's lies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "runner.pyz"
        self.program.write_bytes(packing.runner())
        self.number = 0
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def base(self) -> Path:
        """The volume of the latest pod."""
        return self.folder / f"pod{self.number}"

    @property
    def tree(self) -> Path:
        return self.base / "tree"

    def start(
        self, server: PodServer | str, *, command: str = "run", python: str = sys.executable, same: bool = False,
        pod: int = 1, **env: str,
    ) -> subprocess.Popen[bytes]:  # fmt: skip
        """Start one that asks `server`, the platform as it is played or the address of a real one."""
        if not same:
            self.number += 1
            self.base.mkdir()
        environ = {
            "PATH": os.environ["PATH"], "HOME": str(self.base / "home"), "TMPDIR": str(self.folder),
            "REFMILL_SERVER": server if isinstance(server, str) else server.url, "REFMILL_RUN": RUN, "REFMILL_TOKEN": TOKEN, "REFMILL_WORK": str(self.base),
            "REFMILL_PATIENCE": "20", "HOSTNAME": f"pod{self.number}", **env,
        }  # fmt: skip
        with (self.folder / f"out{self.number}").open("ab") as out:
            process = subprocess.Popen(
                [python, str(self.program), command, str(pod)], env=environ, cwd=self.base, stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def run(self, server: PodServer, *, seconds: float = 60, **said: Any) -> int:
        """The exit code of a whole pod."""
        return self.start(server, **said).wait(seconds)

    @property
    def said(self) -> str:
        """What the latest pod said on its standard output."""
        return (self.folder / f"out{self.number}").read_text("utf-8", "replace")

    def close(self) -> None:
        """End whatever is left of all pods: their runners, and by their variables what those had started."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        for pid in self.left():
            os.kill(pid, signal.SIGKILL)

    def left(self) -> list[int]:
        """Processes that a pod has started and that live still."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                if f"{self.folder}/pod".encode() in Path(f"/proc/{name}/environ").read_bytes():
                    found.append(int(name))
            except OSError:
                continue
        return found


def until(what: Any, seconds: float = 15) -> None:
    """Wait for it to be true."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never was"
        time.sleep(0.01)
