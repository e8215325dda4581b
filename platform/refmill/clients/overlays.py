"""A tree of files in which some files have another content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from refmill import errors
from refmill.ports.trees import Entry, Through, Tree
from refmill.texts import text


class Overlay(Through):
    """The `Tree` port over `tree`, with the bytes of `files` (which are all in it) in place of its own."""

    def __init__(self, tree: Tree, files: Mapping[str, bytes]) -> None:
        super().__init__(tree)
        self._files = files

    def entry(self, path: str) -> Entry | None:
        """See the port."""
        found = super().entry(path)
        return found if found is None or path not in self._files else replace(found, size=len(self._files[path]))

    def read(self, path: str, limit: int = 64 << 20) -> bytes:
        """See the port."""
        if path not in self._files:
            return super().read(path, limit)
        data = self._files[path]
        if len(data) > limit:
            raise errors.LimitExceeded(text("%(path)s is larger than %(limit)s bytes", path=path, limit=limit))
        return data

    def md5(self, path: str) -> tuple[str, int]:
        """See the port."""
        if path not in self._files:
            return super().md5(path)
        return hashlib.md5(self._files[path], usedforsecurity=False).hexdigest(), len(self._files[path])
