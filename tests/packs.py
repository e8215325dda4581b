"""Packs and heads of pushes by hand, as no git would make them."""

from __future__ import annotations

import hashlib
import random
import zlib
from collections.abc import Sequence

ZERO = "0" * 40
BLOB, COMMIT, TREE, REF_DELTA = 3, 1, 2, 7
_KINDS = {BLOB: b"blob", COMMIT: b"commit"}
_EMPTY = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor a <a> 0 +0000\ncommitter a <a> 0 +0000\n\n"
_STEP = 1 << 16
"""Bytes that one byte of a delta can mean."""


def line(words: bytes) -> bytes:
    """A packet line (gitprotocol-common(5))."""
    return b"%04x%s" % (len(words) + 4, words)


def packed(kind: int, data: bytes, size: int | None = None, base: bytes = b"") -> bytes:
    """An object of a pack (gitformat-pack(5))."""
    size = len(data) if size is None else size
    head = [kind << 4 | size & 15]
    size >>= 4
    while size:
        head[-1] |= 128
        head.append(size & 127)
        size >>= 7
    return bytes(head) + base + zlib.compress(data, 9)


def varint(number: int) -> bytes:
    """A length in a delta."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def named(kind: bytes, data: bytes) -> bytes:
    """The name of an object."""
    return hashlib.sha1(b"%s %d\0%s" % (kind, len(data), data), usedforsecurity=False).digest()


def pack(objects: Sequence[bytes]) -> bytes:
    """A whole pack of objects that are `packed`."""
    data = b"PACK\0\0\0\2" + len(objects).to_bytes(4, "big") + b"".join(objects)
    return data + hashlib.sha1(data, usedforsecurity=False).digest()


def bomb(kind: int, count: int, size: int, *, padding: int = 0, ref: bytes = b"refs/heads/main") -> bytes:
    """A push of a commit beside which lie `count` blobs or commits of at least `size` bytes each, in some thousand, and
    behind them so many bytes of `padding`."""
    base = (b"" if kind == BLOB else _EMPTY).ljust(_STEP, b"x")
    objects = [packed(kind, base)]
    for number in range(1, count + 1):  # all of the base again and again, and a little more, so that no two are alike
        length, more = varint(size // _STEP * _STEP + number), b"\xb0" + number.to_bytes(2, "little")
        delta = varint(_STEP) + length + b"\x80" * (size // _STEP) + more
        objects.append(packed(REF_DELTA, delta, base=named(_KINDS[kind], base)))
    body = _EMPTY + b"x\n"
    objects += [packed(TREE, b""), packed(COMMIT, body), packed(BLOB, random.Random(1).randbytes(padding))]
    told = f"{ZERO} {named(b'commit', body).hex()} ".encode() + ref + b"\0 report-status side-band-64k"
    return line(told) + b"0000" + pack(objects)
