"""What is known of uploads in parts that are under way: a small file for each, beside the copies of a bucket.

The rule to keep: an upload is written down before anybody gets an address of it, and crossed out after all of it is
gone from the bucket. What a crash in between leaves there is ended by the bucket's own rules, or found by its age.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from refmill import errors
from refmill.clients import files
from refmill.ports.objects import Underway
from refmill.texts import text

PEOPLE = "people"
"""The sender of whatever no run sends."""
MOST = 1000
"""Uploads of one sender at a time: a pod has one, and one more for each time that it was killed."""
_TICKET = re.compile(r"[0-9a-f]{32}", re.ASCII)
_SENDER = re.compile(r"[0-9a-z]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Upload:
    """One: of the object `md5` with `size` bytes, in parts of `part` bytes; `id` is the store's name for it."""

    md5: str
    size: int
    part: int
    id: str

    @property
    def count(self) -> int:
        """How many parts it has."""
        return -(-self.size // self.part)


class Uploads:
    """Those of one repository, in the directory `folder`: by sender (a run's id, or PEOPLE) and ticket."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def note(self, sender: str, ticket: str, upload: Upload) -> None:
        """Write one down: durable on return. Raises Unavailable if the disk refuses."""
        path = self._folder / sender / ticket
        try:
            files.make_directory(path.parent)
            files.write(path, json.dumps(asdict(upload)).encode())
        except OSError as error:
            if (fault := errors.of_disk(error)) is not None:
                raise fault from error
            raise

    def find(self, sender: str, ticket: str) -> Upload | None:
        """The one that was noted, None if there is none."""
        if not _TICKET.fullmatch(ticket) or not _SENDER.fullmatch(sender):
            return None
        try:
            return Upload(**json.loads((self._folder / sender / ticket).read_bytes()))
        except FileNotFoundError:
            return None

    def forget(self, sender: str, ticket: str) -> None:
        """Cross it out."""
        (self._folder / sender / ticket).unlink(missing_ok=True)

    def count(self, sender: str) -> int:
        """How many a sender has."""
        folder = self._folder / sender
        return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0

    def all(self) -> Iterator[tuple[str, str, float]]:
        """Sender, ticket, and when it was noted (UTC seconds)."""
        for path in sorted(self._folder.glob("*/*")):
            if _TICKET.fullmatch(path.name):
                try:
                    yield path.parent.name, path.name, path.stat().st_mtime
                except FileNotFoundError:
                    continue

    def tidy(self, sender: str) -> None:
        """Take the sender's folder away if nothing is in it."""
        try:
            (self._folder / sender).rmdir()
        except OSError:
            pass  # there is one still, or there never was one


class Turns:
    """What is being settled: reading an object of gigabytes takes minutes, and whoever asks again meanwhile must not
    begin that anew. For any thread of this process, which alone answers."""

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._guard = threading.Lock()

    @contextlib.contextmanager
    def alone(self, ticket: str) -> Iterator[None]:
        """Settle something. Raises Underway where that is being done."""
        with self._guard:
            if ticket in self._held:
                raise Underway(text("this object is being read and compared: ask again in a moment"))
            self._held.add(ticket)
        try:
            yield
        finally:
            with self._guard:
                self._held.discard(ticket)


def new_ticket() -> str:
    """A name that nobody guesses."""
    return secrets.token_hex(16)
