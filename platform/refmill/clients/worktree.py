"""A project as it lies in a directory of this machine: `ports.trees.Tree` for a working copy.

The rule to keep: no path leads out of the directory, whatever links it holds; a link is called a link and
never followed, but for one to a file in DVC's cache, which stands for that file (`cache.type symlink`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from refmill.errors import LimitExceeded, NotFound
from refmill.formats.directories import Hasher, hash_file
from refmill.ports.trees import Entry
from refmill.texts import text

_HIDDEN = {".dvc/cache", ".dvc/tmp"}
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


class WorkTree:
    """The files below `root`, without `.git`, `.dvc/cache` and `.dvc/tmp`. A file's bytes are those on disk. `cache` is
    where files of DVC lie that links lead to."""

    def __init__(self, root: Path, hasher: Hasher = hash_file, cache: Path | None = None) -> None:
        self._cache = None if cache is None else Path(os.path.realpath(cache))
        self._hasher = hasher
        self._root = Path(os.path.realpath(root))

    def entry(self, path: str) -> Entry | None:
        """See the port."""
        if not path:
            return Entry("directory")
        parts = path.split("/")
        if any(part in {"", ".", ".."} or "\0" in part for part in parts):
            return None
        for length in range(1, len(parts)):
            above = self._entry("/".join(parts[:length]))
            if above is None or above.kind != "directory":
                return None
        return self._entry(path)

    def _entry(self, path: str) -> Entry | None:
        """What stands at `path`, whose parents have been looked at; sockets and devices are not there."""
        place = self._root / path
        if path in _HIDDEN or place.name == ".git":
            return None
        try:
            status = place.lstat()
            if stat.S_ISLNK(status.st_mode) and self._in_cache(place):
                status = place.stat()
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        if stat.S_ISREG(status.st_mode):
            return Entry("file", "", status.st_size, bool(status.st_mode & 0o100))
        if stat.S_ISDIR(status.st_mode):
            return Entry("submodule" if os.path.lexists(place / ".git") else "directory")
        return Entry("link") if stat.S_ISLNK(status.st_mode) else None

    def _in_cache(self, place: Path) -> bool:
        """Whether it is a link that leads to a file of DVC's cache."""
        if self._cache is None or not place.is_symlink():
            return False
        return Path(os.path.realpath(place)).is_relative_to(self._cache)

    def read(self, path: str, limit: int = 64 << 20) -> bytes:
        """See the port."""
        descriptor = self._open(path)
        try:
            size = os.fstat(descriptor).st_size
            if size > limit:
                raise LimitExceeded(text("%(path)s has %(size)s bytes", path=path, size=size))
            with os.fdopen(descriptor, "rb", closefd=False) as source:
                data = source.read(limit + 1)
        finally:
            os.close(descriptor)
        if len(data) > limit:
            raise LimitExceeded(text("%(path)s has %(size)s bytes", path=path, size=len(data)))
        return data

    def children(self, path: str) -> dict[str, Entry]:
        """See the port."""
        found = self.entry(path)
        if found is None or found.kind != "directory":
            return {}
        start = f"{path}/" if path else ""
        below = ((name, self._entry(start + name)) for name in sorted(os.listdir(self._root / path)))
        return {name: entry for name, entry in below if entry is not None}

    def walk(self, path: str = "") -> Iterator[tuple[str, Entry]]:
        """See the port; another repository inside is named as a submodule, not entered."""
        # A directory sorts as its name with "/" behind it: that makes the whole walk sorted by path.
        order = sorted(self.children(path).items(), key=lambda item: item[0] + "/" * (item[1].kind == "directory"))
        for name, entry in order:
            whole = f"{path}/{name}" if path else name
            if entry.kind == "directory":
                yield from self.walk(whole)
            else:
                yield whole, entry

    def target(self, path: str) -> str:
        """See the port."""
        found = self.entry(path)
        if found is None or found.kind != "link":
            raise NotFound(text("There is no link %(path)s", path=path))
        try:
            return os.readlink(self._root / path)
        except OSError as error:
            raise NotFound(text("There is no link %(path)s", path=path)) from error

    def md5(self, path: str) -> tuple[str, int]:
        """See the port: a working copy is what a checkout holds."""
        found = self.entry(path)
        if found is None or found.kind != "file":
            raise NotFound(text("There is no file %(path)s", path=path))
        place = self._root / path
        hashed = self._hasher(place, inside=self._cache if self._in_cache(place) else self._root)
        return hashed.md5, found.size

    def _open(self, path: str) -> int:
        found = self.entry(path)
        if found is None or found.kind != "file":
            raise NotFound(text("There is no file %(path)s", path=path))
        try:
            place = self._root / path
            return os.open(os.path.realpath(place) if self._in_cache(place) else place, _FLAGS)
        except OSError as error:
            raise NotFound(text("There is no file %(path)s", path=path)) from error
