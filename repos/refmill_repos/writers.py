"""Who writes into a repository by git just now, and what those left that were killed: their locks keep everybody else
out, and their half-made objects lie about.

Every git child that writes inherits a shared lock on one file of the repository. It also leaves a mark in that file;
whoever is the last one there takes all marks away, and looks first if one is not accounted for. So it does not matter
who is killed, the child, its parent, or both.

The rule to keep: nothing of another one is taken away unless nobody can write.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from refmill import errors
from refmill.clients import flocks
from refmill.texts import text

FILE = "refmill-writers"
HOLDER = "tmp_obj_refmill"
"""Keeps folders of loose objects from being empty (`store.BareRepositories.maintain`)."""
PATTERNS = (
    "*.lock", "packed-refs.new", "gc.pid", "objects/*.lock", "objects/info/*.lock", "objects/tmp_objdir-*",
    "objects/incoming-*", "objects/pack/*.lock", "objects/pack/tmp_*", "objects/pack/.tmp-*",
)  # fmt: skip
"""Not only what is called a lock keeps others out: as long as `packed-refs.new` is there, no ref can be deleted."""
PATIENCE = 1.0
"""Seconds in which the children of a git that was killed end: they lose their input."""
_log = logging.getLogger("refmill.git")


@contextmanager
def begun(place: Path) -> Iterator[int]:
    """A descriptor to start a git child with (`pass_fds`) that writes into the repository at `place`; `ended` follows
    when the child is over. Raises NotFound, and Unavailable if the disk refuses."""
    fd = _opened(place)
    try:
        if flocks.taken(fd):  # nobody else writes
            _forget(place, fd, accounted=0)
        fcntl.flock(fd, fcntl.LOCK_SH)
        with contextlib.suppress(OSError):  # without room for a mark, the death of this process too goes unnoticed
            os.write(fd, b".")
        yield fd
    finally:
        os.close(fd)


def ended(place: Path, *, well: bool, patience: float = 0.0) -> None:
    """A git child that wrote is over. If it did not end `well`, what it left is taken away, now if nobody else writes
    after `patience` seconds, else by whoever writes last."""
    try:
        fd = _opened(place)
    except errors.RefmillError:  # the repository is deleted, or nothing can be changed
        return
    try:
        if flocks.taken(fd, patience):
            _forget(place, fd, accounted=1 if well else -1)
    finally:
        os.close(fd)


@contextmanager
def writing(place: Path) -> Iterator[int]:
    """A descriptor for a git child that writes, and that ends within the block."""
    well = False
    try:
        with begun(place) as fd:
            yield fd
        well = True
    finally:
        ended(place, well=well)


def left(place: Path) -> Iterator[Path]:
    """Locks, quarantines and half-made objects of git in the repository at `place`."""
    for pattern in PATTERNS:
        yield from place.glob(pattern)
    loose = place.glob("objects/[0-9a-f][0-9a-f]/tmp_obj_*")
    yield from (path for path in loose if path.name != HOLDER)
    for below in ("refs", "logs"):
        for folder, _, files in os.walk(place / below):
            yield from (Path(folder, name) for name in files if name.endswith(".lock"))


def take_away(path: Path) -> None:
    """A file, or a folder with all that is in it; it may be gone already. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _forget(place: Path, fd: int, accounted: int) -> None:
    """Take the marks away while nobody else can write, and before that what was left, if there are more marks than are
    accounted for."""
    try:
        if os.fstat(fd).st_size > accounted:
            for path in left(place):
                _log.warning("%s was left by a git that was killed, and is taken away", path)
                take_away(path)
        os.ftruncate(fd, 0)
    except OSError as error:  # the marks stay, and the next one tries again
        _log.warning("what a killed git left in %s cannot be taken away: %s", place, error)


def _opened(place: Path) -> int:
    try:
        return os.open(place / FILE, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except FileNotFoundError as error:
        raise errors.NotFound(text("there is no repository “%(id)s”", id=place.stem)) from error
    except OSError as error:
        if (fault := errors.of_disk(error)) is not None:
            raise fault from error
        raise
