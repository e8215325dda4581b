"""DVC's own locks on a working copy, as DVC takes them: other DVC commands can work while a stage's command runs.

Two of them. The repository's lock is held while anything of DVC is read or written, and let go while commands run.
The rwlock, a JSON file, says meanwhile which paths running stages read and write.
(Source: dvc.lock, dvc.rwlock, dvc.stage.decorators; zc.lockfile is an flock.)
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from refmill import errors
from refmill.engine import attempts
from refmill.engine.machine import lives
from refmill.texts import text

FIRST_SECONDS = 3.0
"""How long a command waits for another one before it gives up, as in DVC (dvc.lock.DEFAULT_TIMEOUT)."""
LATER_SECONDS = 120.0
"""The same in the middle of a run, where giving up would throw a result away."""
_RETRY = 0.05


class DvcLocks:
    """Both locks of the project at `root`; without a `.dvc` there is nobody to lock out. Safe for many threads."""

    def __init__(self, root: Path) -> None:
        folder = root / ".dvc"
        self._root = root
        self._folder = folder / "tmp" if folder.is_dir() else None
        self._info = {"pid": os.getpid(), "cmd": " ".join(sys.argv)}
        self._guard = threading.Lock()
        self._holders = 0
        self._descriptor = -1
        self._seconds = FIRST_SECONDS

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """The repository's lock, held as long as one of our threads needs it. Raises Conflict if others keep it."""
        with self._guard:
            if self._holders == 0 and self._folder is not None:
                self._folder.mkdir(exist_ok=True)
                self._descriptor = self._flock(self._folder / "lock", self._seconds)
                self._seconds = LATER_SECONDS
            self._holders += 1
        try:
            yield
        finally:
            with self._guard:
                self._holders -= 1
                if self._holders == 0 and self._descriptor >= 0:
                    os.close(self._descriptor)
                    self._descriptor = -1

    @contextlib.contextmanager
    def using(self, read: Iterable[str], written: Iterable[str]) -> Iterator[None]:
        """The rwlock on paths from the root. Raises Conflict if a living process writes or reads them."""
        if self._folder is None:
            yield
            return
        reading = [str(self._root / path) for path in read]
        writing = [str(self._root / path) for path in written]
        with self._edited() as lock:
            self._refuse(lock["write"], reading + writing)
            self._refuse(lock["read"], writing)
            for path in reading:
                if self._info not in lock["read"].setdefault(path, []):
                    lock["read"][path].append(self._info)
            lock["write"].update(dict.fromkeys(writing, self._info))
        try:
            yield
        finally:
            with self._edited() as lock:
                self._release(lock, reading, writing)

    def _release(self, lock: dict[str, Any], reading: list[str], writing: list[str]) -> None:
        for path in writing:
            lock["write"].pop(path, None)
        for path in reading:
            others = [info for info in lock["read"].get(path, []) if info != self._info]
            lock["read"].pop(path, None)
            if others:
                lock["read"][path] = others

    def _refuse(self, held: dict[str, Any], paths: list[str]) -> None:
        """Raise Conflict if another living process holds one of `paths`, or a path above or below; strike dead ones."""
        for path, infos in list(held.items()):
            if not any(_overlap(path, mine) for mine in paths):
                continue
            others = [info for info in (infos if isinstance(infos, list) else [infos]) if info != self._info]
            alive = [info for info in others if lives(int(info["pid"]))]
            if alive:
                raise errors.Conflict(
                    text("%(path)s is in use by another command (process %(pid)s): %(command)s",
                         path=os.path.relpath(path, self._root), pid=int(alive[0]["pid"]),
                         command=str(alive[0]["cmd"])[:200]),
                    text("Wait until it has ended."),
                )  # fmt: skip
            if others:
                del held[path]

    @contextlib.contextmanager
    def _edited(self) -> Iterator[dict[str, Any]]:
        """The rwlock file, written back when the block ends well."""
        folder = self._folder or self._root
        file = folder / "rwlock"
        with self._guard:
            descriptor = self._flock(folder / "rwlock.lock", LATER_SECONDS)
            try:
                lock = _parsed(file)
                yield lock
                body = json.dumps({key: value for key, value in lock.items() if value})
                attempts.write(file, body, durable=False)
            finally:
                os.close(descriptor)

    def _flock(self, path: Path, seconds: float) -> int:
        """A descriptor that holds the lock at `path`, to be closed. Raises Conflict."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        until = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() < until:
                    time.sleep(_RETRY)
                    continue
                os.close(descriptor)
                raise errors.Conflict(
                    text("another DVC or Refmill command works in %(root)s", root=str(self._root)),
                    text("Wait until it has ended."),
                ) from error
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f" {os.getpid()}\n".encode())
            return descriptor


def _parsed(file: Path) -> dict[str, Any]:
    """The rwlock's content; one that is no JSON held nothing that could be told."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        found = {}
    return {"write": dict(found.get("write", {})), "read": dict(found.get("read", {}))}


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")
