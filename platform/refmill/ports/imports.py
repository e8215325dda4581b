"""Data that are not pushed here: of another repository hosted here (`dvc import` of our own addresses), and of the
remotes that a repository's own configuration names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol


class Imports(Protocol):
    """Copies objects between repositories of this installation, and only where the asker may read the source."""

    def bring(self, user: str, url: str, md5s: Iterable[str], *, into: str) -> set[str]:
        """Copy objects (a `.dir` with its files) from the repository at `url` into that with the id `into`; gives those
        that are there afterwards. Nothing is brought from foreign addresses, or where `user` may not read."""


class Elsewhere(Protocol):
    """Remotes of other people that a repository names: read, never written."""

    def asks(self, config: bytes) -> Sequence[str]:
        """Addresses of the remotes that would be asked; `config` is a `.dvc/config`."""

    def fetch(self, repository_id: str, config: bytes, md5s: Iterable[str]) -> None:
        """Begin to bring objects (a `.dir` with its files) out of those remotes into the repository's store.

        Returns at once; each object that comes is told as one that was pushed is, and what could not be had is said by
        the runs that wait for it.
        """
