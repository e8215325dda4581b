"""The folder in which a stage's commands run, and our own hands in it.

The rule to keep: a repository may hold any link, and commands leave what they like. Before we write, every folder on
the way is looked at, so that nothing lands outside; before we read what a command may have replaced, likewise.
"""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import stat
import tarfile
import time
from typing import Optional

from refmill.step.pods.faults import AttemptFailed

BUSY = 0.01  # seconds before a folder that fills while it is emptied is emptied again
CHUNK = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def place(root: str, path: str) -> str:
    """`path` below `root` with its folder made; a link or file on the way gives way to a folder. Raises AttemptFailed
    for a path that leaves `root`, OSError."""
    parts = path.split("/")
    if path.startswith("/") or "\0" in path or parts[0] == ".git" or any(part in ("", ".", "..") for part in parts):
        raise AttemptFailed("workspace", "%s lies outside of the project" % path)
    folder = root
    for part in parts[:-1]:
        folder = os.path.join(folder, part)
        try:
            mode = os.lstat(folder).st_mode
        except FileNotFoundError:
            os.mkdir(folder)
            continue
        if not stat.S_ISDIR(mode):
            os.unlink(folder)
            os.mkdir(folder)
    return os.path.join(folder, parts[-1])


def clear(root: str, path: str) -> str:
    """A place where nothing stands: what was there is taken away."""
    target = place(root, path)
    remove(target)
    return target


def make_folder(root: str, path: str) -> str:
    """The folder `path` below `root` ("" and "." are `root` itself), made if it is not there."""
    if path in ("", "."):
        return root
    return os.path.dirname(place(root, path + "/inside"))


def is_folder(root: str, path: str) -> bool:
    """Whether all of `path` from `root` on are folders, and no links."""
    here = root
    for part in ["", *filter(None, path.split("/"))]:
        here = os.path.join(here, part) if part else here
        try:
            if not stat.S_ISDIR(os.lstat(here).st_mode):
                return False
        except OSError:
            return False
    return True


def remove(path: str) -> None:
    """Take away what stands at `path`, whatever a stage did to the rights in it; nothing there is no error."""
    while os.path.lexists(path):
        if os.path.islink(path) or not os.path.isdir(path):
            os.unlink(path)
            return
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                time.sleep(BUSY)
            elif isinstance(error, PermissionError):
                for folder, _, _ in os.walk(path):
                    os.chmod(folder, stat.S_IRWXU)
                shutil.rmtree(path)
            else:
                raise


def measure(path: str) -> int:
    """Bytes of a file, or of all files in a folder together; links are not followed. Raises OSError."""
    if os.path.islink(path) or not os.path.isdir(path):
        return os.lstat(path).st_size
    return sum(os.lstat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(path) for name in names)


def open_inside(root: str, path: str) -> Optional[int]:
    """A descriptor of the regular file `path` below `root`, reached through no link; None if there is none."""
    *folders, name = path.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in (*folders, name)):
        return None
    try:
        here = os.open(root, _READ | os.O_DIRECTORY)
        try:
            for folder in folders:
                below = os.open(folder, _READ | os.O_DIRECTORY, dir_fd=here)
                os.close(here)
                here = below
            file = os.open(name, _READ, dir_fd=here)
        finally:
            os.close(here)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(file).st_mode):
        return file
    os.close(file)
    return None


def unpack(archive: str, target: str) -> None:
    """Make the folder `target` of an archive (tar, packed by gzip): files with their rights and times, folders, links
    as they are. Nothing is written through a link. Raises OSError, EOFError, tarfile.TarError, zlib.error."""
    os.mkdir(target)
    made = {""}
    late = []
    with gzip.open(archive, "rb") as packed, tarfile.open(fileobj=packed, mode="r:") as tar:
        for member in tar:
            name = os.path.normpath(member.name)
            if name.startswith(("/", "../")) or name == ".." or "\0" in name:
                raise tarfile.TarError("%s lies outside" % member.name)
            if name == ".":
                continue
            _folders(target, os.path.dirname(name), made)
            there = os.path.join(target, name)
            if member.isdir():
                _folders(target, name, made)
                late.append((there, member.mode))
            elif member.issym():
                os.symlink(member.linkname, there)
            elif member.isreg() or member.islnk():
                source = tar.extractfile(member)
                if source is None:
                    raise tarfile.TarError("%s has no content" % member.name)
                descriptor = os.open(there, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with source, os.fdopen(descriptor, "wb") as file:
                    shutil.copyfileobj(source, file, CHUNK)
                os.chmod(there, member.mode & 0o777)
                # git takes a file for changed whose time is another than its index says.
                os.utime(there, ns=(int(member.mtime * 1_000_000_000),) * 2)
        while packed.read(CHUNK):  # to its end, where the checksum is
            pass
    for there, mode in reversed(late):  # a folder that cannot be written to would not take its files
        os.chmod(there, (mode & 0o777) | stat.S_IRWXU)


def _folders(target: str, name: str, made: set[str]) -> None:
    """Make the folder and those above it, none of which may be a link."""
    if name in made:
        return
    _folders(target, os.path.dirname(name), made)
    os.mkdir(os.path.join(target, name))  # fails where a link stands
    made.add(name)


def pack(folder: str, archive: str) -> None:
    """Put a folder's content into an archive that `unpack` takes. Raises OSError."""
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:  # wheels are mostly libraries: more gains little
        for name in sorted(os.listdir(folder)):
            tar.add(os.path.join(folder, name), arcname=name)
