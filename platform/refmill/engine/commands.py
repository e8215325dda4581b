"""Runs a stage's commands in a working copy, in the user's own shell as DVC does, and ends them with all they started.

The rule to keep: whoever kills this process with SIGKILL leaves commands behind, and a second run beside them would
write what they write. Each command therefore holds a lock file of its own, which dies with the last of its processes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from refmill import errors
from refmill.engine.machine import lives
from refmill.texts import text

GRACE = ((signal.SIGINT, 5.0), (signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0))
"""How commands are ended: signals, each with the seconds until the next one. Ctrl-C means SIGINT to them as well."""
_LOOK = 0.2
"""Seconds between looks whether a command has ended that left its output open to a process in the background."""
_FLAGS: Mapping[str, tuple[str, ...]] = {"zsh": ("--no-rcs",), "bash": ("--noprofile", "--norc")}
"""So that no shell reads its owner's configuration (dvc.stage.run._make_cmd)."""
_LONGEST = 1 << 16
"""Bytes of a line that are waited for; a progress bar may never end its line."""
STOPPED = 130


@dataclass(frozen=True, slots=True)
class Leftover:
    """A command whose run was killed, and that still runs."""

    stage: str
    group: int


class Commands:
    """The commands of one run in the project at `root`."""

    def __init__(self, root: Path, environ: Mapping[str, str] = os.environ) -> None:
        self._root = root
        self._folder = root / ".dvc" / "tmp" / "refmill" / "running" if (root / ".dvc").is_dir() else None
        shell = environ.get("SHELL") or "/bin/sh"
        self._shell = (shell, *_FLAGS.get(os.path.basename(shell).lower(), ()), "-c")
        self._environ = {"DVC_ROOT": str(root), **environ}
        self._groups: set[int] = set()
        self._guard = threading.Lock()
        self._ended = False

    def run(self, stage: str, commands: Sequence[str], folder: Path, tell: Callable[[str], None]) -> int:
        """One after another, until one fails; gives the last exit code (-N for signal N, 130 when we were ended)."""
        environ = {**self._environ, "DVC_STAGE": stage}
        for command in commands:
            with self._marked(stage) as mark:
                if self._over():
                    return STOPPED
                child = subprocess.Popen(
                    [*self._shell, command], cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT, start_new_session=True, pass_fds=mark.descriptors,
                )  # fmt: skip
                mark.note(child.pid)
                with self._guard:
                    self._groups.add(child.pid)
                try:
                    _follow(child, tell)
                finally:
                    with self._guard:
                        self._groups.discard(child.pid)
                if child.returncode != 0:
                    return STOPPED if self._over() else child.returncode
        return 0

    def _over(self) -> bool:
        with self._guard:
            return self._ended

    def end(self) -> None:
        """End every command; asked a second time meanwhile (by another Ctrl-C), at once."""
        with self._guard:
            self._ended = True
        for number, seconds in GRACE:
            with self._guard:
                groups = set(self._groups)
            for group in groups:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, number)
            until = time.monotonic() + seconds
            try:
                while self._groups and time.monotonic() < until:
                    time.sleep(0.02)
            except KeyboardInterrupt:
                continue
            if not self._groups:
                return

    def leftovers(self) -> list[Leftover]:
        """Commands of killed runs that still run; marks of those that do not are taken away."""
        found: list[Leftover] = []
        if self._folder is None or not self._folder.is_dir():
            return found
        for file in self._folder.iterdir():
            with contextlib.suppress(OSError, ValueError, KeyError), file.open("r+b") as opened:
                try:
                    fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    noted = json.loads(opened.read())
                    if not lives(noted["refmill"]):
                        found.append(Leftover(noted["stage"], noted["group"]))
                else:
                    file.unlink()
        return found

    def refuse_leftovers(self) -> None:
        """Raise Conflict if a command of a killed run still runs."""
        found = self.leftovers()
        if found:
            raise errors.Conflict(
                text("stage %(stage)s of a run that was killed still runs", stage=found[0].stage),
                text("Wait until it has ended, or end it: kill -- %(groups)s",
                     groups=" ".join(f"-{item.group}" for item in found)),
            )  # fmt: skip

    @contextlib.contextmanager
    def _marked(self, stage: str) -> Iterator[_Mark]:
        if self._folder is None:
            yield _Mark(None, stage)
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / secrets.token_hex(8)
        with file.open("xb", buffering=0) as opened:
            fcntl.flock(opened, fcntl.LOCK_EX)
            try:
                yield _Mark(opened.fileno(), stage)
            finally:
                file.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Mark:
    """A command's lock file: what a later run reads of it."""

    descriptor: int | None
    stage: str

    @property
    def descriptors(self) -> tuple[int, ...]:
        return () if self.descriptor is None else (self.descriptor,)

    def note(self, group: int) -> None:
        if self.descriptor is not None:
            body = json.dumps({"refmill": os.getpid(), "stage": self.stage, "group": group})
            os.pwrite(self.descriptor, body.encode(), 0)


def _follow(child: subprocess.Popen[bytes], tell: Callable[[str], None]) -> None:
    """Hand on what a command prints, line by line, until it has ended."""
    output = child.stdout
    if output is None:
        child.wait()
        return
    rest = b""
    with output:
        descriptor = output.fileno()
        while True:
            if select.select([descriptor], [], [], _LOOK)[0]:
                data = os.read(descriptor, 1 << 16)
                if not data:
                    break
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    tell(_shown(line))
                if len(rest) > _LONGEST:
                    tell(_shown(rest))
                    rest = b""
            elif child.poll() is not None:
                break  # what it started in the background keeps its output open
    child.wait()
    if rest:
        tell(_shown(rest))


def _shown(line: bytes) -> str:
    """A line as a terminal leaves it: behind its last carriage return."""
    return line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]
