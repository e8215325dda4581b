"""Files on disk: written whole or not at all, copied by reference where the file system can.

The rule to keep: nothing here leaves a half-written file under its final name, whenever the process is killed.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # the client also runs where there are no POSIX calls
    fcntl = None  # type: ignore[assignment]

_FICLONE = 0x40049409
"""linux/fs.h: share the blocks of another file on btrfs, xfs, bcachefs; the copy may be written to."""
_CANNOT_LINK = {errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}


def copy(source: Path, target: Path) -> None:
    """Make the new file `target` with the content of `source`, by reference if possible. Not the mode, not synced."""
    with source.open("rb") as reader, target.open("xb") as writer:
        if not _cloned(reader.fileno(), writer.fileno()):
            shutil.copyfileobj(reader, writer, 1 << 20)


def _cloned(source: int, target: int) -> bool:
    if fcntl is None:
        return False
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False  # another disk, or a file system that shares no blocks
    return True


def link(source: Path, target: Path) -> bool:
    """Make `target` a hard link to `source`; False where that cannot be. Raises FileNotFoundError, FileExistsError."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno in _CANNOT_LINK:
            return False
        raise
    return True


def symlink(source: Path, target: Path) -> bool:
    """Make `target` a symbolic link to `source`; False where nothing is there. Raises FileExistsError."""
    if not source.exists():
        return False
    target.symlink_to(source)
    return True


def share(source: Path, target: Path) -> bool:
    """Make `target` a hard link to the regular file `source` whose owner gives it up, if it may become read-only: not
    a link itself, known under no other name, not executable (one inode has one mode). False where that cannot be."""
    status = source.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1 or status.st_mode & 0o111:
        return False
    return link(source, target)


def settle(temporary: Path, final: Path) -> None:
    """Give the file `temporary` the name `final` too, unless there is one, which stays. Where there are no hard links
    it gets the name alone, whatever is there."""
    with suppress(FileExistsError):
        if not link(temporary, final):
            temporary.replace(final)


@contextmanager
def replacing(target: Path, *, durable: bool = False, beside: Path | None = None) -> Iterator[Path]:
    """A temporary path that takes the place of `target` when the block ends well: `beside`, which must be on the same
    disk, or one in the same folder."""
    temporary = beside or target.with_name(f".{target.name[:100]}.{secrets.token_hex(8)}.tmp")
    try:
        yield temporary
        if durable:
            sync(temporary)
        temporary.replace(target)
        if durable:
            sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write(target: Path, data: bytes) -> None:
    """Make `target` hold `data`: durable on return, whole or unchanged."""
    with replacing(target, durable=True) as temporary:
        temporary.write_bytes(data)


def make_directory(path: Path, *, durable: bool = True) -> None:
    """Make `path` and its parents, each forced to disk in its own parent."""
    if path.is_dir():
        return
    make_directory(path.parent, durable=durable)
    path.mkdir(exist_ok=True)
    if durable:
        sync(path.parent)


def sync(path: Path) -> None:
    """Force a file's content or a directory's entries to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
