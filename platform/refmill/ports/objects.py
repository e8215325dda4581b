"""One repository's data in DVC's layout: `files/md5/xx/…`, and DVC's run-cache `runs/xx/<key>/<value>`.

Objects of DVC 2 have names that begin with `hashing.OLD`, and lie in its layout (`xx/…`) where their name of today is
another one.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from refmill.model.pipelines import LockEntry


class Objects(Protocol):
    """Objects named by their MD5 (`….dir` for a directory's listing). Whatever is added is verified first."""

    def present(self, md5s: Iterable[str]) -> set[str]:
        """Those of `md5s` that are there."""

    def sizes(self, md5s: Iterable[str]) -> dict[str, int]:
        """Bytes of those of `md5s` that are there."""

    def read(self, md5: str, limit: int = 256 << 20) -> bytes:
        """A small object whole (a `.dir` listing). Raises NotFound, and LimitExceeded above `limit` bytes."""

    def today(self, name: str) -> str | None:
        """The MD5 of the content of a file's object of DVC 2, None if it is not there."""

    def write(self, data: bytes, suffix: str = "") -> str:
        """Store `data` under its MD5 + `suffix` (".dir") and give that name; durable on return."""

    def put(self, source: Path, md5: str, *, move: bool = False) -> None:
        """Store the file `source` whose MD5 the caller has just computed; `move` may take the file itself (same disk;
        then `source` is read-only and a link to the object). Never leaves a half-written object."""

    def get(self, md5: str, target: Path, *, link: bool = False, executable: bool = False) -> None:
        """Make the file `target` (parents exist, target does not) from an object; `link` allows a read-only hard link,
        else a reflink or copy that may be written to. Raises NotFound."""


class RunCache(Protocol):
    """DVC's record of which inputs gave which outputs."""

    def load(self, key: str) -> LockEntry | None:
        """The newest entry under `key` (64 hex digits), or None; a corrupt one is passed over."""

    def save(self, key: str, value: str, entry: LockEntry) -> None:
        """Record an entry as DVC does, atomically; one that is there already stays."""
