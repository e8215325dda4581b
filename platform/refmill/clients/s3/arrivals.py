"""An object on its way into a bucket, until it is known to be what its name says."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from typing import Any

from refmill import errors
from refmill.clients import uploads
from refmill.clients.s3.bucket import PART, Bucket

ON_THE_WAY = "incoming/"
"""Keys, below the prefix, of what is being hashed."""


class Arrival:
    """An object on its way in. A small one is held in memory; a large one gets a name of its own in the bucket, which
    nobody asks for, until its hash is known."""

    def __init__(self, bucket: Bucket, md5: str, came: Iterator[bytes], limit: int, sent: str = "") -> None:
        self._bucket, self._md5, self._came, self._limit = bucket, md5, came, limit
        self._digest = uploads.digest_for(md5)
        self._today: Any = hashlib.md5(usedforsecurity=False)
        self.key = sent or f"{ON_THE_WAY}{md5}-{secrets.token_hex(8)}"
        self.size = 0
        self._sent = bool(sent)

    @property
    def today(self) -> str:
        """Its name of today."""
        return str(self._today.hexdigest())

    def receive(self) -> bytes | None:
        """All of it, or None if it went on to the bucket. Raises WrongUse if it is not what its name says."""
        head = bytearray()
        while len(head) <= PART and (block := self._next()):
            head += block
        if len(head) <= PART:
            uploads.check_hash(self._md5, self._digest)
            return bytes(head)
        self._sent = True

        def read(size: int) -> bytes:
            if not head:
                head.extend(self._next())
            block = bytes(head[:size])
            del head[:size]
            return block

        self._bucket.put_stream(self.key, read, self._limit)
        uploads.check_hash(self._md5, self._digest)
        return None

    def read(self, limit: int) -> None:
        """What somebody else sent. Raises WrongUse if it is not what its name says, LimitExceeded."""
        came = self._bucket.blocks(self.key)
        self._came = uploads.blocks(lambda _: next(came, b""), limit)
        while self._next():
            pass
        uploads.check_hash(self._md5, self._digest)

    def _next(self) -> bytes:
        block = next(self._came, b"")
        self.size += len(block)
        self._digest.update(block)
        self._today.update(block)
        return block

    def whole(self) -> bytes:
        """What went on to the bucket."""
        return b"".join(self._bucket.blocks(self.key))

    def discard(self) -> None:
        """Take away what has another name now, or never gets one; what stays after a crash is removed with its age."""
        if self._sent:
            try:
                self._bucket.remove([self.key])
            except errors.Unavailable:
                pass  # the collection of garbage takes it later
