"""A hosted repository's objects in a directory, as people send and fetch them.

The rule to keep: what is handed out was compared with its name, before or while it goes.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from refmill import errors
from refmill.clients import uploads, wholeness
from refmill.clients.objects import INCOMING, DirectoryObjects
from refmill.clients.sending import damaged, held_back
from refmill.formats import directories
from refmill.formats.hashing import OLD
from refmill.ports.objects import Kept, Objects, Offer, Opened, PartOffers, Piecemeal, Read
from refmill.texts import text

LOG = logging.getLogger(__name__)
CHECKED_FIRST = 8 << 20
"""Bytes of an object that is read before the answer begins, the first time that it is asked for; larger ones are
compared with their names while they are sent, so that a question whether one is there waits for nothing."""


class DirectoryStore(DirectoryObjects):
    """`ports.objects.Store` over `root`; what is on its way lies in `root/incoming`."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, aside=root / INCOMING)
        self._place = root

    def open(self, md5: str) -> Opened:
        path = self.path(md5)
        try:
            file = path.open("rb", buffering=0)
        except OSError as error:
            raise errors.NotFound(text("There is no object %(md5)s", md5=md5)) from error
        uploads.renew(path)
        status = os.fstat(file.fileno())
        whole = wholeness.known(status, md5)
        if not whole and status.st_size <= CHECKED_FIRST:
            whole = wholeness.holds(path, md5)
            if not whole:
                file.close()
                raise damaged(md5, self.where(md5))

        def blocks(start: int, end: int) -> Iterator[bytes]:
            file.seek(start)
            if whole or md5.startswith(OLD) or (start, end) != (0, status.st_size):
                return _part(file, end - start)
            return self._checked(file, md5)

        return Opened(status.st_size, blocks, file.close, file if whole or md5.startswith(OLD) else None)

    def _checked(self, file: IO[bytes], md5: str) -> Iterator[bytes]:
        with file:
            yield from held_back(_all(file), md5, self.where(md5))
            wholeness.note(os.fstat(file.fileno()), md5)

    def take(self, md5: str, read: Read, *, limit: int) -> bool:
        return uploads.take(self._place, md5, read, limit=limit)

    def bring(self, md5: str, source: Objects) -> None:
        aside = self._place / INCOMING
        aside.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=aside) as folder:
            # A link is enough: objects are read-only, and both stores lie on one disk.
            source.get(md5, Path(folder, "object"), link=True)
            self.put(Path(folder, "object"), md5, move=True)

    def link(self, md5: str, seconds: int) -> str | None:
        if not self.present([md5]):
            raise errors.NotFound(text("There is no object %(md5)s", md5=md5))
        return None

    def offer(self, md5: str, seconds: int) -> Offer | None:
        return None

    def settle(self, md5: str, ticket: str, *, limit: int) -> bool:
        raise errors.NotFound(text("nothing was sent under this ticket"))

    def in_parts(self, size: int) -> bool:
        return False

    def parts(self, wanted: Piecemeal, seconds: int, *, limit: int) -> PartOffers:
        raise errors.WrongUse(text("objects are sent here in one piece"))

    def settle_parts(self, sent: Piecemeal, etags: Sequence[str], *, limit: int) -> bool:
        raise errors.NotFound(text("nothing was sent under this ticket"))

    def forsake(self, over: Callable[[str, float], bool]) -> None:
        """Nothing: there are no parts."""

    def kept(self) -> Iterator[Kept]:
        for md5 in self.names():
            facts = self.path(md5).stat()
            yield Kept(md5, facts.st_size, facts.st_mtime)

    def pinned(self) -> set[str]:
        found = set[str]()
        for place in sorted(self._place.glob("[0-9a-f][0-9a-f]/*")):
            if place.is_symlink():
                found.add(place.readlink().parent.name + place.readlink().name)
            elif place.name.endswith(".dir"):
                listing = directories.parse(self.read(f"{OLD}{place.parent.name}{place.name}"), place.name)
                found.update(entry.md5 for entry in listing.entries)
        return found

    def remove(self, md5s: Iterable[str]) -> None:
        for md5 in md5s:
            path = self.path(md5)
            path.unlink(missing_ok=True)

    def sweep(self, before: float) -> None:
        """Nothing: each start takes away what a killed server was about to store."""

    def where(self, md5: str) -> str:
        return str(self.path(md5))


def _all(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(uploads.CHUNK):
        yield block


def _part(file: IO[bytes], length: int) -> Iterator[bytes]:
    with file:
        while length > 0 and (block := file.read(min(uploads.CHUNK, length))):
            length -= len(block)
            yield block
