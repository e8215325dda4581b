"""Files of a project at one commit, or in a working copy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

EntryKind: TypeAlias = Literal["file", "directory", "link", "submodule"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands at a path: its kind, git object id ("" in a working copy), size in bytes (files), executable bit."""

    kind: EntryKind
    oid: str = ""
    size: int = 0
    executable: bool = False


class Tree(Protocol):
    """The files below a project's root. Paths are relative to it, "/"-separated, "" is the root itself.

    A path that passes through a symbolic link or leaves the root is not there: `entry` is None, `read` raises NotFound.
    """

    def entry(self, path: str) -> Entry | None:
        """What stands at `path`, or None."""

    def read(self, path: str, limit: int = 64 << 20) -> bytes:
        """A file's bytes as git has them. Raises NotFound, and LimitExceeded above `limit` bytes."""

    def children(self, path: str) -> dict[str, Entry]:
        """Names and entries directly in a directory, sorted by name; {} where there is none."""

    def walk(self, path: str = "") -> Iterator[tuple[str, Entry]]:
        """Every file and link below `path` with its path from the root, sorted by path; directories are not named."""

    def target(self, path: str) -> str:
        """Where the symbolic link `path` leads to, as it is written. Raises NotFound."""

    def md5(self, path: str) -> tuple[str, int]:
        """MD5 and size in bytes of a file as a *checkout* would hold it: after eol conversion and other git filters."""


class Through:
    """A tree that hands every question on to another one; whoever has an answer of its own overrides the question."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def entry(self, path: str) -> Entry | None:
        """See Tree."""
        return self._tree.entry(path)

    def read(self, path: str, limit: int = 64 << 20) -> bytes:
        """See Tree."""
        return self._tree.read(path, limit)

    def children(self, path: str) -> dict[str, Entry]:
        """See Tree."""
        return self._tree.children(path)

    def walk(self, path: str = "") -> Iterator[tuple[str, Entry]]:
        """See Tree."""
        return self._tree.walk(path)

    def target(self, path: str) -> str:
        """See Tree."""
        return self._tree.target(path)

    def md5(self, path: str) -> tuple[str, int]:
        """See Tree."""
        return self._tree.md5(path)
