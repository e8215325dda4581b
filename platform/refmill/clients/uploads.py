"""Taking objects in over HTTP: verified, whole or not at all, and on disk before anybody is told so.

The rule to keep: a name in `files/md5` means that the bytes with that MD5 are there, and for a `.dir` that every file
it lists is there too (DVC believes a directory complete as soon as its listing exists, and would never send the rest).
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from refmill import errors
from refmill.clients import files, wholeness
from refmill.clients.objects import INCOMING, DirectoryObjects
from refmill.formats import directories
from refmill.formats.hashing import OLD, OldDigest
from refmill.ports.objects import Read
from refmill.texts import counted, text

CHUNK = 1 << 20
LISTING_LIMIT = 256 << 20
"""The longest `.dir` listing, about two million files: what a store hands out in one piece."""
_RENEW_SECONDS = 86_400.0  # collection leaves alone what is younger than days, so a day is exact enough


def place(store: Path, md5: str) -> Path:
    """Where an object of the repository's directory `store` lies; `md5` must have been checked. One of DVC 2 lies in
    its old layout only if its name of today is another one."""
    return DirectoryObjects(store).path(md5)


def renew(path: Path) -> None:
    """An object that somebody asked for is in use: it becomes young again for the collection of garbage."""
    try:
        if time.time() - path.stat().st_mtime > _RENEW_SECONDS:
            os.utime(path)
    except OSError:
        pass  # it is the collector's hint only


def clean(stores: Path) -> None:
    """At start: take away what uploads left that were cut off by a SIGKILL, in all directories below `stores`."""
    for incoming in stores.glob(f"*/{INCOMING}"):
        shutil.rmtree(incoming, ignore_errors=True)


def take(store: Path, md5: str, read: Read, *, limit: int) -> bool:
    """Store what `read` gives under the name `md5`; False if it was there already (then it is read to its end).

    Raises WrongUse if the bytes have another MD5 or are no listing, Conflict if a listing names files that are not
    here, LimitExceeded above `limit` bytes, Unavailable if the disk is full, OSError if the sender breaks off.
    """
    target = place(store, md5)
    if target.exists():
        for _ in blocks(read, limit):
            pass
        renew(target)
        return False
    temporary = store / INCOMING / f"{md5}-{secrets.token_hex(8)}"
    try:
        try:
            _receive(temporary, md5, blocks(read, limit))
            if md5.endswith(".dir"):
                _check_listing(store, temporary, md5)
            if md5.startswith(OLD):
                DirectoryObjects(store, aside=store / INCOMING).put(temporary, md5, move=True)
                temporary.unlink(missing_ok=True)
            else:
                _settle(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        if error.errno in errors.NO_ROOM:
            raise errors.Unavailable(
                text("the disk of the server is full"), text("Tell whoever runs it; nothing of this object was kept.")
            ) from error
        if (fault := errors.of_disk(error)) is not None:
            raise fault from error
        raise
    return True


def _settle(temporary: Path, target: Path) -> None:
    """Give a file that is on disk its name, and have that on disk, too."""
    try:
        temporary.rename(target)
    except FileNotFoundError:
        files.make_directory(target.parent)
        temporary.rename(target)
    files.sync(target.parent)


def _create(path: Path) -> IO[bytes]:
    try:
        return path.open("xb", buffering=0)
    except FileNotFoundError:
        files.make_directory(path.parent)
        return path.open("xb", buffering=0)


def blocks(read: Read, limit: int) -> Iterator[bytes]:
    """What somebody sends. Raises LimitExceeded as soon as it is more than `limit` bytes, OSError if they break off."""
    size = 0
    while block := read(CHUNK):
        size += len(block)
        if size > limit:
            raise errors.LimitExceeded(text("an object may have %(limit)s bytes here", limit=limit))
        yield block


def digest_for(md5: str) -> Any:
    """What computes the hash that an object's name tells."""
    return OldDigest() if md5.startswith(OLD) else hashlib.md5(usedforsecurity=False)


def check_hash(md5: str, digest: Any) -> None:
    """Raises WrongUse if what came has another hash than its name tells."""
    found = digest.hexdigest()
    if found != md5.removeprefix(OLD).removesuffix(".dir"):
        raise errors.WrongUse(
            text("these bytes have another MD5: %(found)s", found=found),
            text("Push again; if it goes on, look at your cache with `dvc status`."),
        )


def _receive(temporary: Path, md5: str, came: Iterator[bytes]) -> None:
    digest = digest_for(md5)
    with _create(temporary) as file:
        for block in came:
            digest.update(block)
            _write(file, block)
        check_hash(md5, digest)
        os.fchmod(file.fileno(), 0o444)  # as in DVC's own cache: nobody writes into an object
        os.fsync(file.fileno())
        wholeness.note(os.fstat(file.fileno()), md5)


def _write(file: IO[bytes], block: bytes) -> None:
    """All of it: one call may write less."""
    left = memoryview(block)
    while left:
        left = left[file.write(left) :]


def _check_listing(store: Path, temporary: Path, name: str) -> None:
    check_length(temporary.stat().st_size)
    entries = listed(temporary.read_bytes(), name)
    check_complete(sum(1 for md5 in entries if not place(store, md5).exists()))


def check_length(size: int) -> None:
    """Raises LimitExceeded for a listing that is too long to be read."""
    if size > LISTING_LIMIT:
        raise errors.LimitExceeded(text("a directory listing may have %(limit)s bytes", limit=LISTING_LIMIT))


def listed(data: bytes, name: str) -> list[str]:
    """The objects that a pushed listing names, one for each file. Raises WrongUse if it is none."""
    try:
        return [entry.md5 for entry in directories.parse(data, name).entries]
    except errors.Damaged as error:
        raise errors.WrongUse(error.message, error.remedy) from error


def check_complete(missing: int) -> None:
    """Raises Conflict if files of a directory are `missing` here."""
    if missing:
        raise errors.Conflict(
            counted(
                "%(count)s file of this directory is not here yet: push all of it",
                "%(count)s files of this directory are not here yet: push all of it",
                missing,
            ),
            text("Its files come first, its listing last; a part alone would look complete to DVC for ever."),
        )
