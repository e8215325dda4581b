"""A hosted repository's objects in a bucket, in DVC's layout, with what was used lately in a directory beside it.

The rules to keep: the bucket alone says what there is; what is near is a copy, in the layout of a directory store, that
may go at any time. What stands under an object's name in the bucket is whole: it was hashed before it got that name,
on this machine, or under a name of its own on the way through it.

Objects of DVC 2 whose content has another name today lie under that one; what leads there is a small object in
`refmill/old`. A bucket has no links.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from refmill import errors
from refmill.clients import files, uploads
from refmill.clients.objects import INCOMING, DirectoryObjects
from refmill.clients.s3 import pieces
from refmill.clients.s3.arrivals import ON_THE_WAY, Arrival
from refmill.clients.s3.bucket import Bucket
from refmill.clients.s3.inparts import InParts, check_size, nothing_sent
from refmill.clients.sending import damaged, held_back
from refmill.errors import Damaged, LimitExceeded, NotFound
from refmill.formats import directories, hashing
from refmill.formats.hashing import OLD
from refmill.ports.blobs import Blob
from refmill.ports.objects import Kept, Objects, Offer, Opened, PartOffers, Piecemeal, Read
from refmill.texts import text

RENEW = 86_400.0
"""Seconds after which an object that somebody asks for is made young again; as of a directory store."""
_TICKET = re.compile(r"[0-9a-f]{32}", re.ASCII)
_POINTER = 64  # bytes of what leads from an old name to that of today


class S3Objects:
    """`ports.objects.Store` below the key `root` ("r/<repository id>/") of a bucket; copies lie in the directory
    `near`."""

    def __init__(self, bucket: Bucket, root: str, near: Path) -> None:
        self._bucket, self._root, self._known = bucket, root, bucket.known
        self._near = DirectoryObjects(near, aside=near / INCOMING)
        self._aside = near / INCOMING
        self._in_parts = InParts(bucket, f"{ON_THE_WAY}{root}", near / "refmill" / "parts")

    def present(self, md5s: Iterable[str]) -> set[str]:
        return set(self.sizes(md5s))

    def sizes(self, md5s: Iterable[str]) -> dict[str, int]:
        found = dict[str, int]()
        unknown = list[str]()
        for md5 in dict.fromkeys(md5s):
            if not hashing.is_stored_name(md5):
                continue
            size = None if md5.startswith(OLD) else self._known.size(self._plain(md5))
            if size is None:
                unknown.append(md5)
            else:
                found[md5] = size
        for md5, facts in zip(unknown, self._bucket.each(self._look, unknown), strict=True):
            if facts is not None:
                found[md5] = facts.size
        return found

    def read(self, md5: str, limit: int = 256 << 20) -> bytes:
        size = self.sizes([md5]).get(md5)
        if size is None:
            raise _absent(md5)
        if size > limit:
            raise LimitExceeded(text("The object %(md5)s has %(size)s bytes", md5=md5, size=size))
        self._bring_near(md5)
        return self._near.read(md5, limit)

    def today(self, name: str) -> str | None:
        if not name.startswith(OLD):
            return name if self.present([name]) else None
        found = self._bucket.read(self._pointer(name), _POINTER)
        return None if found is None else found.decode("ascii", "replace")

    def write(self, data: bytes, suffix: str = "") -> str:
        md5 = hashing.md5_bytes(data) + suffix
        if not self.present([md5]):
            self._near.write(data, suffix)
            self._bucket.put(self._plain(md5), data)
            self._known.note(self._plain(md5), len(data))
        return md5

    def put(self, source: Path, md5: str, *, move: bool = False) -> None:
        """See the port; raises Damaged if `source` does not (or no longer) hold what `md5` says."""
        if self._look(md5) is not None:
            return
        self._near.put(source, md5, move=move)  # and compares it with its name
        path = self._near.path(md5)
        if not md5.startswith(OLD):
            self._send(path, self._plain(md5))
        elif md5.endswith(".dir"):
            self._send(path, self._old(md5))
        else:
            today = self._near.today(md5) or ""
            self._send(path, self._plain(today))
            self._bucket.put(self._pointer(md5), today.encode())

    def put_all(self, files: Mapping[str, Path], *, move: bool = False) -> None:
        there = self.present(files)
        self._bucket.each(
            lambda item: self.put(item[1], item[0], move=move),
            [item for item in files.items() if item[0] not in there],
        )

    def _send(self, path: Path, key: str) -> None:
        if self._known.size(key) is None:
            self._bucket.put_file(key, path)
            self._known.note(key, path.stat().st_size)

    def get(self, md5: str, target: Path, *, link: bool = False, executable: bool = False) -> None:
        self._bring_near(md5)
        try:
            self._near.get(md5, target, link=link, executable=executable)
        except (Damaged, NotFound):  # a fault of the disk, or somebody made room; the bucket has it whole
            self._near.path(md5).unlink(missing_ok=True)
            self._bring_near(md5)
            self._near.get(md5, target, link=link, executable=executable)

    def fetch(self, md5s: Iterable[str]) -> None:
        def bring(md5: str) -> None:
            try:
                self._bring_near(md5)
            except NotFound:
                pass  # whoever gets it is told

        self._bucket.each(bring, [md5 for md5 in dict.fromkeys(md5s) if hashing.is_stored_name(md5)])

    def _bring_near(self, md5: str) -> None:
        """Have a copy near, whole. Raises NotFound, and Damaged if the bucket gives something else."""
        path = self._near.path(md5)
        if path.exists():
            _use(path)
            return
        key = self._key(md5)
        files.make_directory(self._aside, durable=False)
        temporary = self._aside / f"{md5}-{secrets.token_hex(8)}"
        try:
            with temporary.open("xb") as file:
                for block in self._bucket.blocks(key):
                    file.write(block)
            self._near.put(temporary, md5, move=True)
        except NotFound as error:
            self._known.forget(key)
            raise _absent(md5) from error
        except Damaged as error:
            raise damaged(md5, self.where(md5)) from error
        except OSError as error:
            if (fault := errors.of_disk(error)) is not None:
                raise fault from error
            raise
        finally:
            temporary.unlink(missing_ok=True)

    def open(self, md5: str) -> Opened:
        if not hashing.is_stored_name(md5):
            raise _absent(md5)
        key = self._key(md5)
        found = self._stat(key)
        if found is None:
            raise _absent(md5)
        self._renew(key, found)

        def blocks(start: int, end: int) -> Iterator[bytes]:
            bare = self._bucket.blocks(key, start, end)
            return held_back(bare, md5, self.where(md5)) if (start, end) == (0, found.size) else bare

        return Opened(found.size, blocks, lambda: None)

    def take(self, md5: str, read: Read, *, limit: int) -> bool:
        if not hashing.is_stored_name(md5):
            raise _absent(md5)
        there = self._there(md5)
        came = uploads.blocks(read, limit)
        if there is not None:
            for _ in came:
                pass
            self._renew(there.key, there)
            return False
        arrival = Arrival(self._bucket, md5, came, limit)
        try:
            self._settle(md5, arrival, arrival.receive())
        finally:
            arrival.discard()
        return True

    def offer(self, md5: str, seconds: int) -> Offer | None:
        ticket = pieces.new_ticket()
        href, headers = self._bucket.multipart.put_link(self._sent(ticket), seconds)
        return Offer(href, ticket, headers)

    def settle(self, md5: str, ticket: str, *, limit: int) -> bool:
        key = self._sent(ticket)
        with self._bucket.settling.alone(key):
            found = self._bucket.stat(key) if _TICKET.fullmatch(ticket) else None
            if found is None:
                raise nothing_sent()
            # Whoever has the address may send something else at any moment: what is read and named is a copy out of
            # reach.
            private = f"{ON_THE_WAY}{md5}-{secrets.token_hex(8)}"
            arrival = Arrival(self._bucket, md5, iter(()), limit, sent=private)
            try:
                check_size(found.size, limit)
                if (there := self._there(md5)) is not None:
                    self._renew(there.key, there)
                    return False
                self._bucket.copy(key, private)
                arrival.read(limit)
                self._settle(md5, arrival, None)
            finally:
                arrival.discard()
                self._bucket.remove([key])
        return True

    def in_parts(self, size: int) -> bool:
        return size > self._bucket.place.part

    def parts(self, wanted: Piecemeal, seconds: int, *, limit: int) -> PartOffers:
        return self._in_parts.offers(wanted, seconds, limit)

    def settle_parts(self, sent: Piecemeal, etags: Sequence[str], *, limit: int) -> bool:
        with self._in_parts.settling(sent) as upload:
            if (there := self._there(sent.md5)) is not None:
                self._renew(there.key, there)
                return False
            self._in_parts.complete(upload, etags)
            arrival = Arrival(self._bucket, sent.md5, iter(()), limit, sent=upload.key)
            arrival.read(limit)
            self._settle(sent.md5, arrival, None)
            return True

    def forsake(self, over: Callable[[str, float], bool]) -> None:
        self._in_parts.forsake(over)

    def _sent(self, ticket: str) -> str:
        """Where what is sent to an offer of this repository lies."""
        return f"{ON_THE_WAY}{self._root}{ticket}"

    def _settle(self, md5: str, arrival: Arrival, data: bytes | None) -> None:
        """Give what has arrived, and is what its name says, that name; `data` is a small one, which went nowhere."""
        if md5.endswith(".dir"):
            uploads.check_length(arrival.size)
            data = arrival.whole() if data is None else data
            names = uploads.listed(data, md5)
            uploads.check_complete(len(set(names) - self.present(names)))
        name = arrival.today if md5.startswith(OLD) and not md5.endswith(".dir") else md5
        key = self._old(name) if name.startswith(OLD) else self._plain(name)
        if data is None:
            self._bucket.copy(arrival.key, key)
        else:
            self._bucket.put(key, data)
        self._known.note(key, arrival.size)
        if name != md5:
            self._bucket.put(self._pointer(md5), name.encode())

    def bring(self, md5: str, source: Objects) -> None:
        if not isinstance(source, S3Objects):
            raise errors.WrongUse(text("objects are copied inside of one store"))
        key, size = source._key(md5), source.sizes([md5]).get(md5)  # noqa: SLF001 - another of its kind
        if size is None:
            raise _absent(md5)
        target = self._old(md5) if md5.startswith(OLD) and md5.endswith(".dir") else self._plain(source._named(md5))  # noqa: SLF001
        self._bucket.copy(key, target)
        self._known.note(target, size)
        if md5.startswith(OLD) and not md5.endswith(".dir"):
            self._bucket.put(self._pointer(md5), source._named(md5).encode())  # noqa: SLF001

    def link(self, md5: str, seconds: int) -> str | None:
        if not self.present([md5]):
            raise _absent(md5)
        return self._bucket.link(self._key(md5), seconds)

    def names(self) -> Iterator[str]:
        for item in self.kept():
            yield item.name

    def kept(self) -> Iterator[Kept]:
        for item in self._bucket.list(f"{self._root}files/md5/"):
            name = "".join(item.key.rsplit("/", 2)[-2:])
            if hashing.is_object_name(name):
                yield Kept(name, item.size, item.written)

    def pinned(self) -> set[str]:
        pointers = [item.key for item in self._bucket.list(f"{self._root}refmill/old/")]
        led = self._bucket.each(lambda key: self._bucket.read(key, _POINTER), pointers)
        found = {name.decode("ascii", "replace") for name in led if name}
        for item in self._bucket.list(self._root):
            folder, _, rest = item.key.removeprefix(self._root).partition("/")
            if len(folder) == 2 and rest.endswith(".dir"):
                listing = directories.parse(self.read(OLD + folder + rest), folder + rest)
                found.update(entry.md5 for entry in listing.entries)
        return found

    def remove(self, md5s: Iterable[str]) -> None:
        # A listing goes before its files, also in a request that is carried out in part.
        names = list(md5s)
        listings = [name for name in names if name.endswith(".dir")]
        for some in (listings, [name for name in names if not name.endswith(".dir")]):
            self._bucket.remove([self._plain(name) for name in some])
        for name in names:
            self._known.forget(self._plain(name))
            self._near.path(name).unlink(missing_ok=True)

    def sweep(self, before: float) -> None:
        self.forsake(lambda _, began: began < before)
        self._in_parts.sweep(ON_THE_WAY, before)
        self._bucket.remove([item.key for item in self._bucket.list(ON_THE_WAY) if item.written < before])

    def verify(self, md5: str) -> bool:
        digest = hashlib.md5(usedforsecurity=False)
        try:
            for block in self._bucket.blocks(self._key(md5)):
                digest.update(block)
        except NotFound:
            return False
        return digest.hexdigest() == md5[:32]

    def where(self, md5: str) -> str:
        place = self._bucket.place
        return f"s3://{place.bucket}/{place.prefix}{self._key(md5)}"

    def _look(self, md5: str) -> Blob | None:
        """The facts of an object, as they were lately."""
        try:
            key = self._key(md5)
        except NotFound:
            return None
        size = self._known.size(key)
        return self._stat(key) if size is None else Blob(key, size, time.time())

    def _there(self, md5: str) -> Blob | None:
        """The facts of an object as they are now."""
        try:
            return self._stat(self._key(md5))
        except NotFound:
            return None

    def _stat(self, key: str) -> Blob | None:
        found = self._bucket.stat(key)
        if found is None:
            self._known.forget(key)
        else:
            self._known.note(key, found.size)
        return found

    def _renew(self, key: str, found: Blob) -> None:
        if time.time() - found.written > RENEW:
            self._bucket.renew(key)

    def _named(self, md5: str) -> str:
        """The name of today of an object that is there. Raises NotFound."""
        if not md5.startswith(OLD) or md5.endswith(".dir"):
            return md5
        today = self.today(md5)
        if today is None or not hashing.is_object_name(today):
            raise _absent(md5)
        return today

    def _key(self, md5: str) -> str:
        """Where an object lies. Raises NotFound for what is no object's name, or an old one that leads nowhere."""
        if not hashing.is_stored_name(md5):
            raise _absent(md5)
        name = self._named(md5)
        return self._old(name) if name.startswith(OLD) else self._plain(name)

    def _plain(self, md5: str) -> str:
        return f"{self._root}files/md5/{md5[:2]}/{md5[2:]}"

    def _old(self, md5: str) -> str:
        name = md5.removeprefix(OLD)
        return f"{self._root}{name[:2]}/{name[2:]}"

    def _pointer(self, md5: str) -> str:
        return f"{self._root}refmill/old/{md5.removeprefix(OLD)}"


def _use(path: Path) -> None:
    """Note that a copy was used, by its time of access; its time of change belongs to what is known of it."""
    try:
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
    except OSError:
        pass  # it is a hint for whoever makes room


def _absent(md5: str) -> NotFound:
    return NotFound(text("There is no object %(md5)s", md5=md5[:80]))
