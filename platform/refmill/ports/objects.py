"""One repository's data in DVC's layout: `files/md5/xx/…`, and DVC's run-cache `runs/xx/<key>/<value>`.

Objects of DVC 2 have names that begin with `hashing.OLD`, and lie in its layout (`xx/…`) where their name of today is
another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol, TypeAlias

from refmill import errors
from refmill.model.pipelines import LockEntry

Read: TypeAlias = Callable[[int], bytes]
"""Gives up to so many bytes of what somebody sends, b"" at the end; raises OSError if the sender breaks off."""


class Objects(Protocol):
    """Objects named by their MD5 (`….dir` for a directory's listing). Whatever is added is verified first."""

    def present(self, md5s: Iterable[str]) -> set[str]:
        """Those of `md5s` that are there."""

    def sizes(self, md5s: Iterable[str]) -> dict[str, int]:
        """Bytes of those of `md5s` that are there."""

    def read(self, md5: str, limit: int = 256 << 20) -> bytes:
        """A small object whole (a `.dir` listing). Raises NotFound, and LimitExceeded above `limit` bytes."""

    def today(self, name: str) -> str | None:
        """The MD5 of the content of a file's object of DVC 2, None if it is not there."""

    def write(self, data: bytes, suffix: str = "") -> str:
        """Store `data` under its MD5 + `suffix` (".dir") and give that name; durable on return."""

    def put(self, source: Path, md5: str, *, move: bool = False) -> None:
        """Store the file `source` whose MD5 the caller has just computed; `move` may take the file itself (same disk;
        then `source` is read-only and a link to the object). Never leaves a half-written object."""

    def get(self, md5: str, target: Path, *, link: bool = False, executable: bool = False) -> None:
        """Make the file `target` (parents exist, target does not) from an object; `link` allows a read-only hard link,
        else a reflink or copy that may be written to. Raises NotFound."""

    def fetch(self, md5s: Iterable[str]) -> None:
        """Have these near, since they will be got one by one: a store that is far away brings them many at a time. What
        is not there is passed over."""

    def put_all(self, files: Mapping[str, Path], *, move: bool = False) -> None:
        """`put` each of these files, by MD5; a store that is far away takes many at a time."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An object on its way out: its size in bytes; `file` if a server may send it by itself, from any place of it;
    `blocks` gives the bytes from a start to before an end, and compares all of them with the object's name where the
    whole is asked for and nobody did so before: the end of one that is not whole is held back, with an OSError.
    """

    size: int
    blocks: Callable[[int, int], Iterator[bytes]]
    close: Callable[[], None]
    file: IO[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """An address at which whoever has it may PUT an object without credentials, with these headers; `ticket` names what
    was sent there."""

    href: str
    ticket: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Piecemeal:
    """What somebody wants to send in parts: an object of `size` bytes. `sender` is the run that they belong to, "" for
    people; `ticket` is "" at first, and then names what is sent. Parts are asked for from number `first` on."""

    md5: str
    size: int
    sender: str = ""
    ticket: str = ""
    first: int = 1


@dataclass(frozen=True, slots=True)
class PartOffers:
    """Addresses at which whoever has them may PUT parts without credentials, from number `first` on. All parts but the
    last have `size` bytes, and there are `count` of them."""

    ticket: str
    size: int
    count: int
    first: int
    hrefs: Sequence[str]


class Underway(errors.Unavailable):
    """The same is being done already, for somebody who asked before: asked again later, it may be done."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An object as the collection of garbage sees it: when it was written or made young again (UTC seconds)."""

    name: str
    size: int
    written: float


class Store(Objects, Protocol):
    """Objects of a hosted repository, as people send and fetch them."""

    def open(self, md5: str) -> Opened:
        """An object for whoever asked for it, which makes it young again for the collection of garbage. Raises
        NotFound, and Damaged for one that is known not to be whole."""

    def take(self, md5: str, read: Read, *, limit: int) -> bool:
        """Store what `read` gives under the name `md5`; False if it was there already (then it is read to its end, and
        made young again).

        Raises WrongUse if the bytes have another MD5 or are no listing, Conflict if a listing names files that are not
        here, LimitExceeded above `limit` bytes, Unavailable if nothing can be stored, OSError if the sender breaks off.
        """

    def bring(self, md5: str, source: Objects) -> None:
        """Copy an object from another repository's store of the same installation. Raises NotFound."""

    def link(self, md5: str, seconds: int) -> str | None:
        """An address at which whoever has it may GET the object for so long; None where the store has no addresses.
        Raises NotFound."""

    def offer(self, md5: str, seconds: int) -> Offer | None:
        """Where an object may be sent to for so long, past this program; None where it has to come through here."""

    def settle(self, md5: str, ticket: str, *, limit: int) -> bool:
        """Give what was sent to an offer its name, as `take` does; False if it was there already. Raises as that, and
        NotFound where nothing was sent."""

    def in_parts(self, size: int) -> bool:
        """Whether an object of so many bytes is sent past this program in parts, by whoever can do that."""

    def parts(self, wanted: Piecemeal, seconds: int, *, limit: int) -> PartOffers:
        """Where parts of an object may be sent to for so long; without a ticket the upload begins. Raises NotFound for
        a ticket of another object, sender or repository, WrongUse, LimitExceeded above `limit` bytes."""

    def settle_parts(self, sent: Piecemeal, etags: Sequence[str], *, limit: int) -> bool:
        """Make an object of all its parts, whose ETags these are, and give it its name as `settle` does. Raises as
        that, and WrongUse where these are not the parts that were sent. What was refused is given up; where the store
        is away the same may be asked again."""

    def forsake(self, over: Callable[[str, float], bool]) -> None:
        """Give up the uploads in parts, with all that was sent, of senders of whom `over` says so; it is told the
        sender, "" for people, and when the upload began (UTC seconds). Raises Unavailable."""

    def names(self) -> Iterator[str]:
        """Every object's name of today, in order."""

    def verify(self, md5: str) -> bool:
        """Whether the object is there and holds what its name says; reads it whole. Raises OSError, Unavailable."""

    def kept(self) -> Iterator[Kept]:
        """Every object's name of today, with its size and age."""

    def pinned(self) -> set[str]:
        """MD5s that objects of DVC 2 lead to; those are never collected."""

    def remove(self, md5s: Iterable[str]) -> None:
        """Take objects away, in this order; one that is not there is no error. Raises Unavailable."""

    def sweep(self, before: float) -> None:
        """Take away what was sent before that time (UTC seconds), for whichever repository, and never became an object.
        Raises Unavailable."""

    def where(self, md5: str) -> str:
        """Where the object lies, for people."""


class RunCache(Protocol):
    """DVC's record of which inputs gave which outputs."""

    def load(self, key: str) -> LockEntry | None:
        """The newest entry under `key` (64 hex digits), or None; a corrupt one is passed over."""

    def save(self, key: str, value: str, entry: LockEntry) -> None:
        """Record an entry as DVC does, atomically; one that is there already stays."""


class HostedRunCache(RunCache, Protocol):
    """That of a hosted repository."""

    def texts(self) -> Iterator[str]:
        """All that the entries say, each as it is written."""
