"""Takes secrets out of what commands print, also where they are encoded, or come out of the pipe in pieces.

A secret is known as it stands, line by line, in base64 (at each of the three places where it can begin in a group, and
cut as `base64` and PEM files cut it), in hexadecimal digits, URL-encoded and escaped as in JSON. What a command
computes of a secret otherwise cannot be known: masking guards against accidents, not against malice.

The rule to keep: bytes that may be the beginning of a secret are not shown before what follows is known.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Iterable
from urllib.parse import quote, quote_plus

MASK = b"***"
SHORTEST = 4  # bytes; what is shorter would blacken every log
_PIECE = 5  # characters of base64 below which a cut encoding means nothing
_CUTS = (64, 76)  # characters of a line: PEM (RFC 7468), MIME (RFC 2045) and the `base64` command


class Masks:
    """What is to be taken out of a log; of no secrets it costs nothing."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        forms = {form for value in values for form in _forms(value) if len(form) >= SHORTEST}
        ordered = sorted(forms, key=len, reverse=True)  # the longest first: one may be the beginning of another
        self._pattern = re.compile(b"|".join(map(re.escape, ordered))) if ordered else None
        self._forms = ordered
        self.longest = len(ordered[0]) if ordered else 0

    def apply(self, data: bytes) -> bytes:
        """`data` with `***` in place of every secret."""
        return self._pattern.sub(MASK, data) if self._pattern is not None else data

    def undecided(self, data: bytes) -> int:
        """How many bytes at the end of `data` (which holds no whole secret) may be the beginning of one."""
        for size in range(min(self.longest - 1, len(data)), 0, -1):
            end = data[-size:]
            if any(form.startswith(end) for form in self._forms):
                return size
        return 0


def _forms(value: str) -> Iterable[bytes]:
    """How a secret may look in a log."""
    raw = value.encode("utf-8", "surrogateescape")
    lines = [line for line in raw.splitlines() if len(line.strip()) >= SHORTEST]
    for whole in {raw.strip(b"\r\n"), *lines}:
        yield whole
        yield from _base64(whole)
        yield from (whole.hex().encode(), whole.hex().upper().encode())
        for encoded in (quote(whole, safe=""), quote(whole), quote_plus(whole)):
            yield encoded.encode()
            yield re.sub(r"%[0-9A-F]{2}", lambda found: found.group().lower(), encoded).encode()
        shown = whole.decode("utf-8", "replace")
        yield json.dumps(shown)[1:-1].encode()
        yield json.dumps(shown, ensure_ascii=False)[1:-1].encode("utf-8", "replace")


def _base64(raw: bytes) -> Iterable[bytes]:
    """The part of the encoding that is the same whatever stands before and after, for the three possible beginnings."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw)
        first, last = (before * 8 + 5) // 6, (before + len(raw)) * 8 // 6
        stable = encoded[first:last]
        if len(stable) < _PIECE:
            continue
        for form in (stable, stable.translate(bytes.maketrans(b"+/", b"-_"))):
            yield form
            if before == 0:
                for width in _CUTS:
                    rows = [form[start : start + width] for start in range(0, len(form), width)]
                    yield from (row for row in rows if len(row) > 2 * _PIECE)
