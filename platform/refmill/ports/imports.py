"""Data that a repository imports from another one hosted here (`dvc import` of our own addresses)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Imports(Protocol):
    """Copies objects between repositories of this installation, and only where the asker may read the source."""

    def bring(self, user: str, url: str, md5s: Iterable[str], *, into: str) -> set[str]:
        """Copy objects (a `.dir` with its files) from the repository at `url` into that with the id `into`; gives those
        that are there afterwards. Nothing is brought from foreign addresses, or where `user` may not read."""
