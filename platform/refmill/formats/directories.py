"""Directories as DVC stores them: an object whose name ends in `.dir` lists each file's path and MD5.

The rule to keep: a listing may come from anybody. What `parse` gives back has been checked: every path is relative,
stays inside, and stands once; every MD5 is one.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from refmill.errors import Damaged, LimitExceeded
from refmill.formats import dvcignore, hashing
from refmill.formats.hashing import FileHash
from refmill.texts import text

MAX_FILES = 2_000_000
"""Files in one listing; at 100 bytes each that is the 256 MiB which a store hands out in one piece."""
IGNORED_DIRECTORIES = frozenset({".git", ".hg", ".dvc"})
"""Never part of a tracked directory, at any depth (dvc.ignore.DvcIgnoreFilter)."""


@dataclass(frozen=True, slots=True, order=True)
class ListedFile:
    """A file of a listing: its path from the directory's top, and its MD5."""

    relpath: str
    md5: str


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a directory, sorted by path as one string, as DVC sorts them."""

    entries: tuple[ListedFile, ...]

    @classmethod
    def of(cls, files: Iterable[tuple[str, str]]) -> Listing:
        """A listing of (path, md5) pairs in any order."""
        return cls(tuple(sorted(ListedFile(path, md5) for path, md5 in files)))

    def to_bytes(self) -> bytes:
        """The object's content, byte for byte as DVC writes it (dvc_data.hashfile.tree.Tree.as_bytes)."""
        return json.dumps([{"md5": entry.md5, "relpath": entry.relpath} for entry in self.entries]).encode("ascii")

    @property
    def name(self) -> str:
        """The object's name: the MD5 of its content and `.dir`."""
        return hashing.md5_bytes(self.to_bytes()) + ".dir"

    def below(self, path: str) -> Listing:
        """The part of the listing inside the sub-directory `path`, with paths from there."""
        start = path.rstrip("/") + "/"
        inside = (entry for entry in self.entries if entry.relpath.startswith(start))
        return Listing(tuple(ListedFile(entry.relpath[len(start) :], entry.md5) for entry in inside))


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory on disk that has been read: its listing, the bytes of all its files, and each file by its path."""

    listing: Listing
    size: int
    files: dict[str, FileHash]

    @property
    def hash(self) -> FileHash:
        """The directory as it stands in dvc.lock."""
        return FileHash(self.listing.name, self.size, nfiles=len(self.listing.entries))

    def former(self, path: Path, name: str) -> Listing | None:
        """The listing with the hashes of DVC 2, if the directory, which lies at `path`, is `name` by them."""
        if hashing.OLD + self.listing.name == name:
            return self.listing
        listing = Listing.of((relative, hashing.old_md5(path / relative)) for relative in self.files)
        return listing if hashing.OLD + listing.name == name else None

    def as_recorded(self, path: Path, recorded: Mapping[str, Any] | None) -> Listing | None:
        """The same, if `recorded`, an item of a lock entry, tells a hash of DVC 2 that the directory still has."""
        name = hashing.former(recorded)
        return self.former(path, name) if name.endswith(".dir") else None


def is_ignored(path: str) -> bool:
    """Whether a tracked directory leaves out `path` (a file, "/"-separated) because of the name of a part of it."""
    *folders, name = path.split("/")
    return name == ".git" or not IGNORED_DIRECTORIES.isdisjoint(folders)


def parse(data: bytes, name: str = "") -> Listing:
    """The listing that `data` holds; that of an object `name` of DVC 2 names its files as such objects too.

    Raises Damaged if it is none, LimitExceeded if it is too long.
    """
    try:
        items = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Damaged(text("This is no directory listing: %(detail)s", detail=str(error))) from error
    if not isinstance(items, list):
        raise Damaged(text("This is no directory listing: it is not a list"))
    if len(items) > MAX_FILES:
        raise LimitExceeded(text("A directory listing may have %(limit)s files", limit=MAX_FILES))
    entries = sorted(_entry(item) for item in items)
    _refuse_overlaps({entry.relpath for entry in entries}, len(entries))
    if name.startswith(hashing.OLD):
        entries = [ListedFile(entry.relpath, hashing.OLD + entry.md5) for entry in entries]
    return Listing(tuple(entries))


def _entry(item: Any) -> ListedFile:
    path, md5 = (item.get("relpath"), item.get("md5")) if isinstance(item, dict) else (None, None)
    if not isinstance(path, str) or not isinstance(md5, str):
        raise Damaged(text("This is no directory listing: an entry lacks its path or its MD5"))
    if not hashing.is_object_name(md5) or md5.endswith(".dir"):
        raise Damaged(text("A directory listing holds something that is no MD5: %(md5)s", md5=md5[:80]))
    if "\0" in path or any(part in {"", ".", ".."} for part in path.split("/")):
        raise Damaged(text("A directory listing holds a path that it must not: %(path)s", path=path[:200]))
    return ListedFile(path, md5)


def _refuse_overlaps(paths: set[str], count: int) -> None:
    if len(paths) != count:
        raise Damaged(text("A directory listing names a file twice"))
    both = paths.intersection(folder for path in paths for folder in folders(path))
    if both:
        raise Damaged(text("A directory listing names %(path)s as file and as directory", path=min(both)))


def folders(path: str) -> Iterator[str]:
    """The folders on the way to a file, outermost first."""
    end = path.find("/")
    while end >= 0:
        yield path[:end]
        end = path.find("/", end + 1)


class Hasher(Protocol):
    """Something like `hash_file`, which may remember what it has read."""

    def __call__(self, path: Path, *, inside: Path | None = None) -> FileHash:
        """The file at `path`."""


def hash_file(path: Path, *, inside: Path | None = None) -> FileHash:
    """The file at `path`; see `hash_directory` for links. Raises Damaged, OSError."""
    descriptor = _open(path, inside)
    try:
        mode = os.fstat(descriptor).st_mode
        md5, size = hashing.md5_descriptor(descriptor)
    finally:
        os.close(descriptor)
    return FileHash(md5, size, isexec=bool(mode & 0o111))


def as_recorded(path: Path, found: FileHash, recorded: Mapping[str, Any] | None) -> FileHash:
    """The hash `found` of the file at `path`, or that of DVC 2 which `recorded`, an item of a lock entry, tells and the
    file still has (dvc.output.Output.update_legacy_hash_name). Raises OSError."""
    name = hashing.former(recorded)
    if not name or name.endswith(".dir"):
        return found
    same = name in (hashing.OLD + found.md5, hashing.OLD + hashing.old_md5(path))
    return replace(found, md5=name) if same else found


def hash_directory(
    path: Path, *, inside: Path | None = None, hasher: Hasher = hash_file, root: str = "",
    ignores: dvcignore.Ignores = dvcignore.nothing,
) -> Directory:  # fmt: skip
    """All files below `path`, chosen as DVC chooses them, each hashed by `hasher`; `root` is the path for `ignores`,
    the project's .dvcignore.

    Links to files count as their content, links to directories are left out, and so are `.git`, `.hg`, `.dvc`, and
    directories that are DVC projects themselves; empty directories are not kept. With `inside`, a link may lead only
    to places below that directory: what a stage wrote must not read the machine's other files into the store.
    Raises Damaged for a link that leads out or nowhere, a .dvcignore, a socket or a device; OSError.
    """
    files: dict[str, FileHash] = {}
    for folder, name in _walk(path, root, ignores):
        relative = f"{folder}/{name}" if folder else name
        if name == dvcignore.FILE:
            raise Damaged(text("%(path)s: a tracked directory must not hold a .dvcignore", path=relative))
        files[relative] = hasher(path / relative, inside=inside)
    listing = Listing.of((relative, file.md5) for relative, file in files.items())
    return Directory(listing, sum(file.size or 0 for file in files.values()), files)


def _walk(path: Path, root: str, ignores: dvcignore.Ignores) -> Iterator[tuple[str, str]]:
    """(folder from `path` with "/", file name) of every file, folders in the order of their names."""
    pending = [""]
    while pending:
        folder = pending.pop()
        below: list[str] = []
        with os.scandir(path / folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                relative = f"{folder}/{entry.name}" if folder else entry.name
                if ignores(f"{root}/{relative}", is_directory=entry.is_dir()):
                    continue
                if not entry.is_dir():
                    if entry.name != ".git":
                        yield folder, entry.name
                elif not entry.is_symlink() and entry.name not in IGNORED_DIRECTORIES and not _is_project(entry.path):
                    below.append(relative)
        pending.extend(reversed(below))


def _is_project(path: str) -> bool:
    return os.path.isdir(os.path.join(path, ".dvc"))


def _open(path: Path, inside: Path | None) -> int:
    """A descriptor of the regular file at `path`; never waits for a pipe, never follows a link out of `inside`."""
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
    target = path
    if inside is not None:
        target = Path(os.path.realpath(path))
        if not target.is_relative_to(os.path.realpath(inside)):
            raise Damaged(text("%(path)s is a link that leads out of the workspace", path=path.name))
        flags |= getattr(os, "O_NOFOLLOW", 0)
    try:
        descriptor = os.open(target, flags)
    except FileNotFoundError as error:
        if path.is_symlink():
            raise Damaged(text("%(path)s is a link that leads nowhere", path=path.name)) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Damaged(text("%(path)s is neither a file nor a directory", path=path.name))
    return descriptor
