"""Files in a store that is far away, by key: what archives and the collection of garbage need of a bucket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Blob:
    """A file: its key, its size in bytes, and when it was written or renewed (UTC seconds)."""

    key: str
    size: int
    written: float


class Blobs(Protocol):
    """A bucket. Every method raises Unavailable if it cannot be used."""

    def prepare(self) -> None:
        """See that it is there; make it if that is wanted."""

    def probe(self) -> None:
        """Try everything that a platform needs of it."""

    def put_file(self, key: str, path: Path) -> None:
        """Store a file."""

    def blocks(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes under a key. Raises NotFound."""

    def list(self, prefix: str) -> Iterator[Blob]:
        """Everything whose key begins with `prefix`, in order."""

    def folders(self, prefix: str) -> Iterator[str]:
        """The next parts of the keys that begin with `prefix`, which ends in a slash."""

    def remove(self, keys: Iterable[str]) -> None:
        """Take these away; one that is not there is no error."""
