"""The head of a push: its commands (one for each ref) and its options, counted while they go by.

git reads all of them into memory before it asks anybody, and a command takes more bytes there than on the way.
Source: gitprotocol-common(5) for packet lines, gitprotocol-pack(5) for what stands in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from refmill import errors
from refmill.texts import text

MAX_OPTIONS = 100
_LENGTH = re.compile(rb"[0-9a-fA-F]{4}")
_LINE = 1000
"""Bytes of a command: two hashes and a name, which has at most `names.MAX_REF`."""
_SPARE = 1 << 16
"""Bytes for what stands beside the commands: what the client can, and its options."""


class Head:
    """Counts what stands in the head of a push of which `refs` are taken."""

    def __init__(self, refs: int) -> None:
        self._refs = refs
        self._limits: list[int] | None = None
        """The lines that the lists may still have, of which the last one goes on; None before the first line's end."""
        self._bytes = refs * _LINE + _SPARE
        self._length, self._skip = b"", 0
        self._first = bytearray()

    @property
    def sideband(self) -> bool:
        """Whether the client takes words beside the answer, as far as the head has come."""
        return b"side-band-64k" in self._first

    def passed(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The pieces themselves. Raises TooManyRefs in the place of the piece that has one too many."""
        for piece in pieces:
            if self._limits != []:
                self._see(piece)
            yield piece

    def _see(self, piece: bytes) -> None:
        at = 0
        while at < len(piece) and self._limits != []:
            if self._skip:
                part = piece[at : at + self._skip]
                self._skip -= len(part)
                if self._limits is None:
                    self._first += part
                    if not self._skip:  # the first command says whether options follow
                        self._limits = [MAX_OPTIONS] * (b"push-options" in self._first) + [self._refs - 1]
            else:
                part = piece[at : at + 4 - len(self._length)]
                self._length += part
                if len(self._length) == 4:
                    self._line(self._length)
                    self._length = b""
            at += len(part)

    def _line(self, length: bytes) -> None:
        size = int(length, 16) if _LENGTH.fullmatch(length) else -1
        if size < 4:  # the end of a list, or what git will not understand
            self._limits = (self._limits or [0])[:-1] if size == 0 else []
            return
        self._skip = size - 4
        self._bytes -= size
        if self._limits is not None:
            self._limits[-1] -= 1
        if self._bytes < 0 or (self._limits is not None and self._limits[-1] < 0):
            raise TooManyRefs(self._refs)


class TooManyRefs(errors.LimitExceeded):
    """A push of more refs or options than are taken at a time."""

    def __init__(self, refs: int) -> None:
        super().__init__(
            text(
                "too many refs or options in one push: at most %(refs)s and %(options)s",
                refs=refs, options=MAX_OPTIONS,
            ),
            text("Push in parts, like `git push URL 'refs/tags/v1*'`."),
        )  # fmt: skip
