"""What a stage made, read as DVC reads it (`refmill/formats/directories.py` has the same rules).

Links to files count as their content, links to directories are left out, and so are `.git`, `.hg`, `.dvc`, and
directories that are DVC projects themselves; empty directories are not kept. What `.dvcignore` of the project hides the
server leaves out of what it is told, and it refuses one in an output.

The rule to keep: nothing outside of the workspace is read, whatever links a command left.
"""

from __future__ import annotations

import os
import stat
from typing import Any, Dict, Iterator, List, Tuple

from refmill.step.pods import hashing
from refmill.step.pods.faults import AttemptFailed

LEFT_OUT = frozenset({".git", ".hg", ".dvc"})

Told = Dict[str, Any]
"""What the server is told of one output."""


class Output:
    """One output: what is told of it, and where the bytes of each MD5 are."""

    def __init__(self, told: Told, files: Dict[str, str]) -> None:
        self.told, self.files = told, files

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file["size"] for file in (self.told.get("files") or {"": self.told}).values())

    def listing(self) -> bytes:
        """The listing of a directory, if nothing of it is hidden; b"" of a file."""
        files = self.told.get("files")
        return b"" if files is None else hashing.listing((path, file["md5"]) for path, file in files.items())


def read(root: str, tree: str, path: str) -> Output:
    """The output `path` below `root`, in the workspace `tree`. Raises AttemptFailed."""
    place = os.path.join(root, path)
    if not os.path.lexists(place):
        raise AttemptFailed("output-missing", path)
    inside = os.path.realpath(tree)
    try:
        if not os.path.isdir(place):
            told, real = _file(place, path, inside)
            return Output(told, {told["md5"]: real})
        files: Dict[str, Told] = {}
        found: Dict[str, str] = {}
        for relative in _walk(place):
            told, real = _file(os.path.join(place, relative), relative, inside)
            files[relative] = {"md5": told["md5"], "size": told["size"]}
            found[told["md5"]] = real
    except _Odd as error:
        raise AttemptFailed("output-refused", "%s: %s" % (path, error)) from error
    except OSError as error:
        raise AttemptFailed("output-unreadable", "%s: %s" % (path, error)) from error
    return Output({"files": files}, found)


def content(path: str, most: int) -> bytes:
    """The bytes of a file that was read, and no more than `most`: what has changed since has another name. b"" of one
    that is gone, or is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        try:
            return file.read(most)
        except OSError:
            return b""


class _Odd(Exception):
    """Something that no store takes."""


def _file(path: str, shown: str, inside: str) -> Tuple[Told, str]:
    """A file's MD5, size and right to be executed, and where it really is."""
    real = os.path.realpath(path)
    if not real.startswith(inside + os.sep):
        raise _Odd("%s is a link that leads out of the workspace" % shown)
    try:
        descriptor = os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as error:
        if os.path.islink(path):
            raise _Odd("%s is a link that leads nowhere" % shown) from error
        if not stat.S_ISREG(os.lstat(real).st_mode):  # a socket
            raise _Odd("%s is neither a file nor a directory" % shown) from error
        raise
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise _Odd("%s is neither a file nor a directory" % shown)
        digest, size = hashing.new(), 0
        for block in iter(lambda: os.read(descriptor, hashing.CHUNK), b""):
            digest.update(block)
            size += len(block)
    finally:
        os.close(descriptor)
    return {"md5": digest.hexdigest(), "size": size, "isexec": bool(mode & 0o111)}, real


def _walk(top: str) -> Iterator[str]:
    """The files of a directory, folders in the order of their names."""
    pending = [""]
    while pending:
        folder = pending.pop()
        below: List[str] = []
        with os.scandir(os.path.join(top, folder)) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            relative = folder + "/" + entry.name if folder else entry.name
            if not entry.is_dir():
                if entry.name != ".git":
                    yield relative
            elif not entry.is_symlink() and entry.name not in LEFT_OUT and not _is_project(entry.path):
                below.append(relative)
        pending.extend(reversed(below))


def _is_project(path: str) -> bool:
    return os.path.isdir(os.path.join(path, ".dvc"))
