"""The folder in which a stage's command runs, and our own hands in it.

The rule to keep: a pushed repository may hold any link. Before we write, every folder on the way is looked at, so that
nothing lands outside; what comes out is read by `plans.outputs`, which follows no link that leaves the workspace.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from refmill import errors
from refmill.engine import checkouts
from refmill.texts import text


def place(root: Path, path: str) -> Path:
    """`path` below `root` with its folder made; a link or file on the way gives way to a folder.

    Raises WrongUse for a path that leaves `root` (validation refuses these long before).
    """
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or "\0" in path or ".git" in parts[:1]:
        raise errors.WrongUse(text("%(path)s lies outside of the project", path=path))
    folder = root
    for part in parts[:-1]:
        folder /= part
        try:
            mode = folder.lstat().st_mode
        except FileNotFoundError:
            folder.mkdir()
            continue
        if not stat.S_ISDIR(mode):
            folder.unlink()
            folder.mkdir()
    return folder / parts[-1]


def clear(root: Path, path: str) -> Path:
    """A place where nothing stands: what was there is taken away."""
    target = place(root, path)
    if os.path.lexists(target):
        checkouts.remove(target)
    return target


def make_folder(root: Path, path: str) -> Path:
    """The folder `path` below `root` ("" and "." are `root` itself), made if it is not there."""
    if path in ("", "."):
        return root
    return place(root, f"{path}/inside").parent


def measure(path: Path) -> int:
    """Bytes of a file, or of all files in a folder together; links are not followed."""
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size
    return sum((Path(folder) / name).lstat().st_size for folder, _, names in os.walk(path) for name in names)


def read_inside(root: Path, path: str, limit: int) -> bytes | None:
    """A file's first `limit` bytes, read while an untrusted command may be changing everything around it.

    Each step is opened relative to the one before and never through a link; None if there is no regular file.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        here = os.open(root, flags | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        *folders, name = path.split("/")
        for folder in folders:
            below = os.open(folder, flags | os.O_DIRECTORY, dir_fd=here)
            os.close(here)
            here = below
        file = os.open(name, flags, dir_fd=here)
        try:
            return os.read(file, limit) if stat.S_ISREG(os.fstat(file).st_mode) else None
        finally:
            os.close(file)
    except OSError:
        return None
    finally:
        os.close(here)
