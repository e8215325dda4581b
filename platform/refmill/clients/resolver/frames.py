"""What goes over the resolver's socket: a request is a frame, an answer is one too.

A frame is one byte of kind, four bytes of length (big endian) and that many bytes of body.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[b"S", b"Q", b"A", b"L", b"E"]
"""S = a source to check; Q = what was asked of its files, before A = the answer; L = a limit ended the child (the body
says which); E = it failed."""
MAX_BODY = 256 << 20
_HEAD = struct.Struct(">cI")


def send(connection: socket.socket, kind: Kind, body: bytes) -> None:
    """Send one frame. Raises OSError."""
    connection.sendall(_HEAD.pack(kind, len(body)) + body)


def receive(connection: socket.socket, deadline: float) -> tuple[bytes, bytes]:
    """Kind and body of one frame. Raises OSError (TimeoutError after `deadline`, a time.monotonic()) and EOFError."""
    kind, length = _HEAD.unpack(_exactly(connection, _HEAD.size, deadline))
    if length > MAX_BODY:
        raise EOFError
    return kind, _exactly(connection, length, deadline)


def _exactly(connection: socket.socket, count: int, deadline: float) -> bytes:
    body = bytearray()
    while len(body) < count:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        part = connection.recv(min(count - len(body), 1 << 20))
        if not part:
            raise EOFError
        body += part
    return bytes(body)
