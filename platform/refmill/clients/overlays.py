"""A tree of files in which some files have another content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace

from refmill import errors
from refmill.ports.trees import Entry, Tree
from refmill.texts import text


class Overlay:
    """The `Tree` port over `tree`, with the bytes of `files` (which are all in it) in place of its own."""

    def __init__(self, tree: Tree, files: Mapping[str, bytes]) -> None:
        self._tree = tree
        self._files = files

    def entry(self, path: str) -> Entry | None:
        """See the port."""
        found = self._tree.entry(path)
        return found if found is None or path not in self._files else replace(found, size=len(self._files[path]))

    def read(self, path: str, limit: int = 64 << 20) -> bytes:
        """See the port."""
        if path not in self._files:
            return self._tree.read(path, limit)
        data = self._files[path]
        if len(data) > limit:
            raise errors.LimitExceeded(text("%(path)s is larger than %(limit)s bytes", path=path, limit=limit))
        return data

    def children(self, path: str) -> dict[str, Entry]:
        """See the port."""
        return self._tree.children(path)

    def walk(self, path: str = "") -> Iterator[tuple[str, Entry]]:
        """See the port."""
        return self._tree.walk(path)

    def target(self, path: str) -> str:
        """See the port."""
        return self._tree.target(path)

    def md5(self, path: str) -> tuple[str, int]:
        """See the port."""
        if path not in self._files:
            return self._tree.md5(path)
        return hashlib.md5(self._files[path], usedforsecurity=False).hexdigest(), len(self._files[path])
