"""The files of one commit, read from the object store: `ports.trees.Tree` without a checkout."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pygit2

from refmill import errors
from refmill.ports.resolver import Source
from refmill.ports.trees import Entry, EntryKind, Tree
from refmill.texts import text
from refmill_repos import names
from refmill_repos.filters import CheckoutFilter, blob_stream
from refmill_repos.memos import Memo
from refmill_repos.objects import damaged, found_commit, found_tree, opened

MAX_ENTRIES = 1_000_000
"""Files of one walk. A tree that contains another one ten times, ten levels deep, is 10 kB in git and 10^10 files."""
MAX_DEPTH = 256
_BIG = 32 << 20
"""Blobs above this are hashed as a stream from a git child, so that memory stays bounded."""
_LARGEST_ATTRIBUTES = 256 << 10
"""Bytes of a .gitattributes file. Git reads 100 MB, of which 100 kB in a pack are enough, and tries each line for each
file."""
_LONGEST_LINK = 4096
"""Linux makes no longer symbolic link (PATH_MAX)."""

_hashes: Memo[bytes | tuple[bytes, str], tuple[str, int]] = Memo(200_000)
"""Blob oid (with the filters' fingerprint, where there are any) → MD5 and size of what a checkout holds."""


class GitTree:
    """The files of `commit` (a full sha) below the directory `project` of the repository at `path`.

    For one thread. Raises NotFound where there is no such commit or directory.
    """

    def __init__(self, path: Path, commit: str, *, project: str = "", quarantine: Path | None = None) -> None:
        self._repository = opened(path, quarantine)
        self._path, self._quarantine = Path(self._repository.path), quarantine  # .git, where `path` is a working copy
        if not names.SHA.fullmatch(commit):
            raise errors.NotFound(text("there is no commit “%(revision)s”", revision=names.shown(commit, 120)))
        self._root = found_commit(self._repository, commit).tree_id
        self._folders: dict[pygit2.Oid, dict[str, tuple[int, pygit2.Oid]]] = {}
        self._prefix = project.strip("/")
        self._filter: CheckoutFilter | None = None
        self._spoken: dict[pygit2.Oid, tuple[bytes, bool]] = {}
        if self._prefix and self._folder(self._prefix) is None:
            raise errors.NotFound(text("there is no directory “%(path)s”", path=names.shown(self._prefix)))

    def entry(self, path: str) -> Entry | None:
        place = self._find(self._full(path))
        return None if place is None else self._entry(*place)

    def read(self, path: str, limit: int = 64 << 20) -> bytes:
        oid, size = self._file(path)
        if size > limit:
            raise errors.LimitExceeded(
                text("%(path)s has %(size)s bytes; at most %(limit)s are read", path=path, size=size, limit=limit)
            )
        return self._blob(oid)

    def children(self, path: str) -> dict[str, Entry]:
        folder = self._folder(self._full(path))
        if folder is None:
            return {}
        return {name: self._entry(*folder[name]) for name in sorted(folder)}

    def walk(self, path: str = "") -> Iterator[tuple[str, Entry]]:
        start = self._folder(self._full(path))
        if start is None:
            return
        stack = [_in_order(start, f"{path}/" if path else "")]
        count = 0
        while stack:
            item = next(stack[-1], None)
            if item is None:
                stack.pop()
                continue
            name, (mode, oid) = item
            count += 1
            if count > MAX_ENTRIES or len(stack) > MAX_DEPTH:
                raise errors.LimitExceeded(text("the repository has too many files, or too deep folders"))
            if mode == pygit2.GIT_FILEMODE_TREE:
                stack.append(_in_order(self._listing(oid), f"{name}/"))
            else:
                yield name, self._entry(mode, oid)

    def target(self, path: str) -> str:
        place = self._find(self._full(path))
        if place is None or place[0] != pygit2.GIT_FILEMODE_LINK or self._size(place[1]) > _LONGEST_LINK:
            raise errors.NotFound(text("there is no link “%(path)s” in this commit", path=names.shown(path)))
        return self._blob(place[1]).decode("utf-8", "surrogateescape")

    def md5(self, path: str) -> tuple[str, int]:
        oid, size = self._file(path)
        full = self._full(path)
        fingerprint, attributes = self._attributes(full)
        key = (oid.raw, f"{fingerprint}:{full}") if attributes else oid.raw
        if (known := _hashes.get(key)) is not None:
            return known
        if attributes:
            if self._filter is None:
                self._filter = CheckoutFilter(self._path, self._quarantine)
            found = _digest(self._filter.stream(full, str(oid), attributes))
        elif size > _BIG:
            found = _digest(blob_stream(self._path, self._quarantine, str(oid)))
        else:
            found = _digest(iter((self._blob(oid),)))
        _hashes.put(key, found)
        return found

    def _attributes(self, full: str) -> tuple[str, dict[str, bytes]]:
        """The .gitattributes files that speak of `full`, if any of them can change its bytes; and their fingerprint."""
        found: dict[str, bytes] = {}
        oids: list[str] = []
        relevant = False
        parts = full.split("/")
        for depth in range(len(parts)):
            folder = "/".join(parts[:depth])
            place = self._find(f"{folder}/.gitattributes" if folder else ".gitattributes")
            if place is None or place[0] not in (pygit2.GIT_FILEMODE_BLOB, pygit2.GIT_FILEMODE_BLOB_EXECUTABLE):
                continue
            if place[1] not in self._spoken:
                self._spoken[place[1]] = self._said(folder, place[1])
            found[folder], concerns = self._spoken[place[1]]
            oids.append(str(place[1]))
            relevant = relevant or concerns
        return (",".join(oids), found) if relevant else ("", {})

    def _said(self, folder: str, oid: pygit2.Oid) -> tuple[bytes, bool]:
        """What a .gitattributes file holds, and whether that can change any file's bytes."""
        if (size := self._size(oid)) > _LARGEST_ATTRIBUTES:
            path = names.shown(f"{folder}/.gitattributes".lstrip("/"))
            raise errors.LimitExceeded(
                text(
                    "%(path)s has %(size)s bytes; at most %(limit)s are read",
                    path=path,
                    size=size,
                    limit=_LARGEST_ATTRIBUTES,
                )
            )
        data = self._blob(oid)
        return data, CheckoutFilter.concerns(data)

    def _full(self, path: str) -> str:
        return f"{self._prefix}/{path}" if self._prefix and path else self._prefix or path

    def _file(self, path: str) -> tuple[pygit2.Oid, int]:
        place = self._find(self._full(path))
        if place is None or place[0] not in (pygit2.GIT_FILEMODE_BLOB, pygit2.GIT_FILEMODE_BLOB_EXECUTABLE):
            raise errors.NotFound(text("there is no file “%(path)s” in this commit", path=names.shown(path)))
        return place[1], self._size(place[1])

    def _find(self, full: str) -> tuple[int, pygit2.Oid] | None:
        """Mode and oid at a path from the repository's root; symbolic links are never followed."""
        if not full:
            return pygit2.GIT_FILEMODE_TREE, self._root
        if full.startswith("/"):
            return None
        above, _, name = full.rpartition("/")
        folder = self._folder(above)
        return None if folder is None else folder.get(name)

    def _folder(self, full: str) -> dict[str, tuple[int, pygit2.Oid]] | None:
        oid = self._root
        for part in full.split("/") if full else ():
            mode, oid = self._listing(oid).get(part, (0, oid))
            if mode != pygit2.GIT_FILEMODE_TREE:
                return None
        return self._listing(oid)

    def _listing(self, oid: pygit2.Oid) -> dict[str, tuple[int, pygit2.Oid]]:
        """Names, modes and oids of a directory, in git's order; names that could not stand on a disk are left out."""
        listing = self._folders.get(oid)
        if listing is None:
            tree = found_tree(self._repository, oid)
            named = ((item.raw_name.decode("utf-8", "surrogateescape"), item) for item in tree if item.raw_name)
            listing = {name: (int(item.filemode), item.id) for name, item in named if _possible(name)}
            self._folders[oid] = listing
        return listing

    def _entry(self, mode: int, oid: pygit2.Oid) -> Entry:
        kind = _KINDS.get(mode, "file")
        size = self._size(oid) if kind == "file" else 0
        return Entry(kind, str(oid), size, executable=mode == pygit2.GIT_FILEMODE_BLOB_EXECUTABLE)

    def _size(self, oid: pygit2.Oid) -> int:
        try:
            return self._repository.odb.read_header(oid)[1]
        except (KeyError, pygit2.GitError) as error:
            raise damaged(oid) from error

    def _blob(self, oid: pygit2.Oid) -> bytes:
        try:
            return self._repository.odb.read(oid)[1]
        except (KeyError, pygit2.GitError) as error:
            raise damaged(oid) from error


_KINDS: dict[int, EntryKind] = {
    int(pygit2.GIT_FILEMODE_TREE): "directory",
    int(pygit2.GIT_FILEMODE_LINK): "link",
    int(pygit2.GIT_FILEMODE_COMMIT): "submodule",
}


def tree_factory(working_copy: Callable[[Source], Tree]) -> Callable[[Source], Tree]:
    """How the resolver opens a `Source`: a commit by `GitTree`, and by `working_copy` what is no commit."""

    def open_tree(source: Source) -> Tree:
        if not source.commit:
            return working_copy(source)
        return GitTree(source.path, source.commit, project=source.project, quarantine=source.quarantine)

    return open_tree


def _in_order(folder: dict[str, tuple[int, pygit2.Oid]], prefix: str) -> Iterator[tuple[str, tuple[int, pygit2.Oid]]]:
    """A directory's entries by full path: git's own order, in which a directory sorts as if its name ended in "/"."""
    return ((f"{prefix}{name}", place) for name, place in folder.items())


def _possible(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name and name.lower() != ".git"


def _digest(chunks: Iterator[bytes]) -> tuple[str, int]:
    digest, size = hashlib.md5(usedforsecurity=False), 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size
