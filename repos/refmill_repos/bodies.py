"""A request's body as pieces of bytes, whatever the client did to it: a length, chunks, gzip."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from refmill import errors
from refmill.texts import text

PIECE = 1 << 16
SMALL = 1 << 20
"""Bytes: git announces the length of what is at most as long (`http.postBuffer`), and sends all else in chunks."""


class BrokenOff(Exception):
    """The client went away in the middle, or what it sent is no gzip."""


class Body:
    """The body of the WSGI request `environ`; reading it never holds more than a few pieces in memory.

    Source: PEP 3333 for CONTENT_LENGTH; `wsgi.input_terminated` is set by servers that end a chunked body themselves.
    Raises LimitExceeded at once if the length announced is above `limit` bytes, WrongUse for an unknown encoding.
    """

    def __init__(self, environ: dict[str, Any], limit: int) -> None:
        self._input: BinaryIO = environ["wsgi.input"]
        self._limit = limit
        length = environ.get("CONTENT_LENGTH") or ""
        if length.isdigit():
            self._left: int | None = int(length)
        else:
            self._left = None if environ.get("wsgi.input_terminated") else 0
        encoding = environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower()
        if encoding not in ("identity", "", "gzip", "x-gzip"):
            raise errors.WrongUse(text("the content encoding “%(name)s” is not known", name=encoding[:40]))
        self._gzip = encoding.endswith("gzip")
        self.small = self._left is not None and self._left <= SMALL and not self._gzip
        """Whether all of it may be held in memory."""
        if (self._left or 0) > limit:
            raise too_large(limit)

    def __iter__(self) -> Iterator[bytes]:
        """The decoded pieces. Raises BrokenOff, and LimitExceeded when more than the limit has come out."""
        total = 0
        for piece in self._inflated() if self._gzip else self._raw():
            total += len(piece)
            if total > self._limit:
                raise too_large(self._limit)
            yield piece

    def drain(self) -> None:
        """Read what is left and forget it, so that the client gets to read the answer; one that sends without end does
        not get to."""
        left = self._limit
        try:
            for piece in self._raw():
                left -= len(piece)
                if left < 0:
                    return
        except BrokenOff:
            return

    def _raw(self) -> Iterator[bytes]:
        while self._left is None or self._left > 0:
            try:
                piece = self._input.read(PIECE if self._left is None else min(PIECE, self._left))
            except (OSError, ValueError) as error:  # ValueError: the server has closed the stream
                raise BrokenOff(str(error)) from error
            if not piece:
                if self._left is None:
                    return
                raise BrokenOff("the body is shorter than its length")
            if self._left is not None:
                self._left -= len(piece)
            yield piece

    def _inflated(self) -> Iterator[bytes]:
        inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            for piece in self._raw():
                out = inflater.decompress(piece, PIECE)
                while out:
                    yield out
                    out = inflater.decompress(inflater.unconsumed_tail, PIECE)
        except zlib.error as error:
            raise BrokenOff(str(error)) from error
        if not inflater.eof:
            raise BrokenOff("the gzip stream ends early")


def too_large(limit: int) -> errors.LimitExceeded:
    """The error for a body above `limit` bytes."""
    return errors.LimitExceeded(text("this push is larger than the %(limit)s bytes that are allowed", limit=limit))
