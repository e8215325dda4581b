"""What a stage's folders take up on the disk, watched while it runs.

The rule to keep: a look is short, however many files there are, and goes on where the last one broke off. The walk
follows no link and no path: a stage that exchanges folders while it is measured leads it nowhere.
"""

from __future__ import annotations

import os
import stat
import time
from typing import Any, Iterator

PAUSE = 0.5  # seconds between two walks
CALM = 20  # times as long as a walk took is the pause after it: watching costs a twentieth of a core at most
STEP = 256  # entries between two looks at the clock
DEEP = 200  # levels: each holds a descriptor, and nobody nests folders so for a good reason
BLOCK = 512  # bytes; the unit of st_blocks on every system
SMALL = 64 << 20  # bytes below which a stage is not to blame for a full disk


class Space:
    """`limits` has `folders`, `given` (paths in them that are not the stage's own: inputs), `bytes`, `files`, and
    `keep`: bytes that must stay free on the disk. A limit of 0 is none."""

    def __init__(self, limits: dict[str, Any]) -> None:
        self.used = 0
        self.files = 0
        self.reason = ""
        self.detail = ""
        self._limits = limits
        self._given = frozenset(limits.get("given", ()))
        self._walk: Iterator[None] | None = None
        self._began = 0.0
        self._next = 0.0
        self._fresh = (0, 0)
        self._linked: set[int] = set()

    def look(self, seconds: float, nameless: int = 0) -> bool:
        """Go on for at most about `seconds`; True if a limit is passed, which `reason` and `detail` tell.

        `nameless` are bytes of files that have no name any more and are open still.
        """
        now = time.monotonic()
        if self._walk is None:
            if now < self._next:
                return False
            self._walk, self._began, self._fresh = self._all(), now, (0, 0)
            self._linked.clear()
        for _ in self._walk:
            if self._over(nameless):
                return True
            if time.monotonic() > now + seconds:
                return False
        self._walk = None
        self.used, self.files = self._fresh
        end = time.monotonic()
        self._next = end + max(PAUSE, CALM * (end - self._began))
        return self._over(nameless) or self._full()

    def _over(self, nameless: int) -> bool:
        size, files = self._fresh[0] + nameless, self._fresh[1]
        if self.reason:
            return True
        most = self._limits.get("bytes") or 0
        if most and size > most:
            self.reason, self.detail = "disk", "%d of %d bytes" % (size, most)
        most = self._limits.get("files") or 0
        if most and files > most:
            self.reason, self.detail = "files", "%d of %d files" % (files, most)
        return bool(self.reason)

    def _full(self) -> bool:
        """Whether the disk runs full and this stage has to do with it."""
        keep = self._limits.get("keep") or 0
        if keep and self.used > SMALL:
            try:
                found = os.statvfs(self._limits["folders"][0])
            except OSError:
                return False
            free = found.f_bavail * found.f_frsize
            if free < keep:
                self.reason, self.detail = "disk-full", "%d bytes free" % free
        return bool(self.reason)

    def _all(self) -> Iterator[None]:
        for folder in self._limits["folders"]:
            try:
                top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:
                continue
            yield from self._folder(top, folder)

    def _folder(self, top: int, path: str) -> Iterator[None]:
        """Add up what is in the open folder `top`, which is closed."""
        stack = [(top, _entries(top), path)]
        seen = 0
        try:
            while stack:
                folder, names, path = stack[-1]
                name = next(names, None)
                if name is None:
                    stack.pop()
                    os.close(folder)
                    continue
                inner = self._entry(folder, name, path)
                if inner >= 0:
                    stack.append((inner, _entries(inner), os.path.join(path, name)))
                if len(stack) > DEEP:
                    self.reason, self.detail = "deep", "folders are nested more than %d deep" % DEEP
                seen += 1
                if self.reason or seen % STEP == 0:
                    yield
        finally:
            for folder, _, _ in stack:
                os.close(folder)

    def _entry(self, folder: int, name: str, path: str) -> int:
        """Count one entry; a folder's descriptor, or -1."""
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError:
            return -1
        is_folder = stat.S_ISDIR(found.st_mode)
        if self._given and os.path.join(path, name) in self._given:
            return -1
        if found.st_nlink > 1 and not is_folder:
            if found.st_ino in self._linked:
                return -1
            self._linked.add(found.st_ino)
        self._fresh = self._fresh[0] + found.st_blocks * BLOCK, self._fresh[1] + 1
        return _open(folder, name) if is_folder else -1


def _open(folder: int, name: str) -> int:
    """A folder in an open one, also where its owner has forbidden itself to read it; -1 if it is gone."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=folder)
    except PermissionError:
        return _unlocked(folder, name, flags)
    except OSError:
        return -1


def _unlocked(folder: int, name: str, flags: int) -> int:
    path = getattr(os, "O_PATH", 0)
    if not path:
        return -1
    try:
        held = os.open(name, path | flags, dir_fd=folder)
        try:
            os.chmod("/proc/self/fd/%d" % held, 0o700)
        finally:
            os.close(held)
        return os.open(name, flags, dir_fd=folder)
    except OSError:
        return -1


def _entries(folder: int) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                yield entry.name
    except OSError:
        return
