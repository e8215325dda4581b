"""Environments that pods have made and packed, for those that need the same one: a file each, by a name that the maker
chose, in the store of the repository whose stages run in it.

The rule to keep: what stages of one repository have left here reaches no other repository's.
"""

from __future__ import annotations

import itertools
import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from refmill import errors
from refmill.clients import files
from refmill.ports.blobs import Blobs
from refmill.ports.objects import Read
from refmill.texts import text

NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,127}", re.ASCII)
ENDING = ".tar.gz"
DAYS = 30.0
"""How long one stays that was made: then it is made anew, with what has been mended in its parts since."""
GZIP = b"\x1f\x8b"
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Packed:
    """One of them: its bytes, and how many they are (None: nobody counted)."""

    blocks: Iterator[bytes]
    size: int | None = None


class PackedEnvironments:
    """`root/NAME.tar.gz`, or, where there is a bucket, `prefix` + the same in that; what is on its way lies in `aside`,
    a folder on the same disk that start-up cleaning empties."""

    def __init__(self, root: Path, bucket: Blobs | None, prefix: str, *, aside: Path) -> None:
        self._root, self._bucket, self._prefix, self._aside = root, bucket, prefix, aside

    def get(self, name: str) -> Packed:
        """The environment of that name. Raises NotFound, Unavailable."""
        file = _file(name)
        try:
            if self._bucket is not None:
                following = self._bucket.blocks(self._prefix + file)
                return Packed(itertools.chain([next(following, b"")], following))
            opened = (self._root / file).open("rb")
        except (FileNotFoundError, errors.NotFound) as error:
            raise errors.NotFound(text("there is no environment %(name)s", name=name)) from error
        size = os.fstat(opened.fileno()).st_size

        def blocks() -> Iterator[bytes]:
            with opened:
                while block := opened.read(CHUNK):
                    yield block

        return Packed(blocks(), size)

    def put(self, name: str, read: Read, *, limit: int) -> None:
        """Keep what `read` gives, whole or not at all, in place of one of that name; those that are old go. Raises
        WrongUse for what is not packed, LimitExceeded above `limit` bytes, Unavailable, OSError if the sender breaks
        off."""
        file = _file(name)
        files.make_directory(self._aside)
        temporary = self._aside / f"{file}-{secrets.token_hex(8)}"
        try:
            with temporary.open("xb") as writer:
                _write(writer, read, limit)
            if self._bucket is not None:
                self._bucket.put_file(self._prefix + file, temporary)
            else:
                files.make_directory(self._root)
                with files.replacing(self._root / file, durable=True, beside=temporary):
                    pass
        finally:
            temporary.unlink(missing_ok=True)
        self._clean(time.time() - DAYS * 86400)

    def _clean(self, before: float) -> None:
        for path in self._root.glob(f"*{ENDING}"):
            try:
                if path.stat().st_mtime < before:
                    path.unlink()
            except FileNotFoundError:
                continue  # another process takes it away as well
        if self._bucket is not None:
            self._bucket.remove([item.key for item in self._bucket.list(self._prefix) if item.written < before])


def _file(name: str) -> str:
    if not NAME.fullmatch(name):
        raise errors.NotFound(text("that is no name of an environment"))
    return name + ENDING


def _write(file: IO[bytes], read: Read, limit: int) -> None:
    left = limit
    while block := read(CHUNK):
        if left == limit and not block.startswith(GZIP):
            raise errors.WrongUse(text("an environment is sent as tar.gz"))
        left -= len(block)
        if left < 0:
            raise errors.LimitExceeded(text("an environment may have %(limit)s bytes here", limit=limit))
        file.write(block)
    if left == limit:
        raise errors.WrongUse(text("an environment is sent as tar.gz"))
