"""Objects that others send to a bucket in parts, past this program: from the first address to the whole object.

The rule to keep: whoever sends has neither keys nor a say. The platform keeps the store's id of the upload, its size
and its parts' size; ids of others lead nowhere, since an upload is found below its repository and its sender alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from refmill.clients.s3 import pieces
from refmill.clients.s3.bucket import MOST_PARTS, Bucket
from refmill.errors import LimitExceeded, NotFound, Unavailable, WrongUse
from refmill.ports.objects import PartOffers, Piecemeal
from refmill.texts import text

AT_ONCE = 100
"""Addresses of parts in one answer: six gigabytes' worth, for which their hour is enough."""


@dataclass(slots=True)
class Settling:
    """An upload that is to become an object, where its parts lie, and whether they are one already."""

    key: str
    upload: pieces.Upload
    one: bool = False


class InParts:
    """Those of one repository, which lie below the key `root`; what is known of them lies in the directory `folder`."""

    def __init__(self, bucket: Bucket, root: str, folder: Path) -> None:
        self._bucket, self._root = bucket, root
        self._known = pieces.Uploads(folder)

    def offers(self, wanted: Piecemeal, seconds: int, limit: int) -> PartOffers:
        """As `Store.parts`."""
        ticket = wanted.ticket or pieces.new_ticket()
        upload = self._find(wanted) if wanted.ticket else self._begin(wanted, ticket, limit)
        if wanted.size != upload.size or not 1 <= wanted.first <= upload.count:
            raise WrongUse(text("this object has no such part"))
        key, last = self._key(_sender(wanted), ticket), min(wanted.first + AT_ONCE - 1, upload.count)
        numbers = range(wanted.first, last + 1)
        hrefs = [self._bucket.multipart.link(key, upload.id, number, seconds) for number in numbers]
        return PartOffers(ticket, upload.part, upload.count, wanted.first, hrefs)

    @contextmanager
    def settling(self, sent: Piecemeal) -> Iterator[Settling]:
        """An upload that is to become an object; whatever came of it, nothing is left of it then, unless the store is
        away. Raises NotFound, Underway."""
        sender, ticket = _sender(sent), sent.ticket
        key = self._key(sender, ticket)
        with self._bucket.settling.alone(key):
            found = Settling(key, self._find(sent))
            try:
                yield found
            except Unavailable:
                raise  # all of it is there when the store answers again
            except BaseException:
                self._give_up(sender, ticket, None if found.one else found.upload)
                raise
            self._give_up(sender, ticket, None if found.one else found.upload)

    def complete(self, found: Settling, etags: Sequence[str]) -> None:
        """Make one object of the parts; from then on nobody can send anything to it. Raises WrongUse, NotFound."""
        if len(etags) != found.upload.count:
            raise WrongUse(text("these are not all of the object's parts"))
        self._bucket.multipart.complete(found.key, found.upload.id, etags)
        facts = self._bucket.stat(found.key)
        if facts is None:
            raise nothing_sent()
        found.one = True
        if facts.size != found.upload.size:
            raise WrongUse(text("what was sent has another length than was said"))

    def forsake(self, over: Callable[[str, float], bool]) -> None:
        """As `Store.forsake`."""
        for sender, ticket, began in list(self._known.all()):
            if over("" if sender == pieces.PEOPLE else sender, began):
                self._give_up(sender, ticket, self._known.find(sender, ticket))
                if sender != pieces.PEOPLE:
                    self._known.tidy(sender)

    def sweep(self, root: str, before: float) -> None:
        """Give up what the store itself knows of uploads below the key `root` that are older, of any repository."""
        for key, upload in list(self._bucket.multipart.begun(root, before)):
            self._bucket.multipart.abort(key, upload)

    def _begin(self, wanted: Piecemeal, ticket: str, limit: int) -> pieces.Upload:
        sender, size = _sender(wanted), wanted.size
        check_size(size, limit)
        if size < 1:
            raise WrongUse(text("whoever sends an object in parts says how many bytes it has"))
        if self._known.count(sender) >= pieces.MOST:
            raise LimitExceeded(text("%(limit)s uploads are under way already", limit=pieces.MOST))
        key, part = self._key(sender, ticket), max(self._bucket.place.part, -(-size // MOST_PARTS))
        upload = pieces.Upload(wanted.md5, size, part, self._bucket.multipart.begin(key))
        try:
            self._known.note(sender, ticket, upload)
        except BaseException:
            self._bucket.multipart.abort(key, upload.id)
            raise
        return upload

    def _find(self, sent: Piecemeal) -> pieces.Upload:
        """The upload that a ticket names. Raises NotFound if it is of another object, or of somebody else."""
        found = self._known.find(_sender(sent), sent.ticket)
        if found is None or found.md5 != sent.md5:
            raise nothing_sent()
        return found

    def _give_up(self, sender: str, ticket: str, upload: pieces.Upload | None) -> None:
        """Take away what is left of an upload: its parts, unless they are one, and the object that was made of them."""
        key = self._key(sender, ticket)
        if upload is not None:
            self._bucket.multipart.abort(key, upload.id)
        self._bucket.remove([key])
        self._known.forget(sender, ticket)

    def _key(self, sender: str, ticket: str) -> str:
        return f"{self._root}{sender}/{ticket}"


def _sender(sent: Piecemeal) -> str:
    return sent.sender or pieces.PEOPLE


def nothing_sent() -> NotFound:
    """What is said of a ticket that names nothing, or nothing of the asker's."""
    return NotFound(text("nothing was sent under this ticket"))


def check_size(size: int, limit: int) -> None:
    """Raises LimitExceeded for an object that is too large."""
    if size > limit:
        raise LimitExceeded(text("an object may have %(limit)s bytes here", limit=limit))
