"""Bodies of requests that the step runner has packed."""

from __future__ import annotations

import zlib

from refmill import errors
from refmill.texts import text


def is_packed(encoding: str) -> bool:
    """Whether a body with this Content-Encoding is packed. Raises WrongUse for what is neither that nor as it is."""
    if encoding.lower() not in ("identity", "gzip"):
        raise errors.WrongUse(text("a body is sent as it is, or packed by gzip"))
    return encoding.lower() == "gzip"


def unfolded(body: bytes, limit: int) -> bytes:
    """A packed body as it was. Raises LimitExceeded above `limit` bytes, WrongUse."""
    packed = zlib.decompressobj(wbits=31)  # 31: as gzip does
    try:
        found = packed.decompress(body, limit + 1)
    except zlib.error as error:
        raise errors.WrongUse(text("the body is not what gzip makes")) from error
    if len(found) > limit:
        raise errors.LimitExceeded(text("a request has at most %(limit)s bytes when it is unfolded", limit=limit))
    if not packed.eof or packed.unused_data:
        raise errors.WrongUse(text("the body is not what gzip makes"))
    return found
