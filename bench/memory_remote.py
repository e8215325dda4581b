"""The least that a server can do for DVC over HTTP: objects in memory, no sign-in, no hash, nothing on disk.

What `dvc push` and `dvc pull` take against it is DVC's own share. Prints its port, and serves until it is ended.
"""

from __future__ import annotations

import asyncio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
ABSENT = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
STORED: dict[bytes, bytes] = {}


class Connection(asyncio.Protocol):
    """One connection of dvc-http: GET, HEAD, and POST in chunks."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._unread = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer every request that has come whole."""
        self._unread += data
        while b"\r\n\r\n" in self._unread and self._answer():
            pass

    def _answer(self) -> bool:
        head, _, rest = self._unread.partition(b"\r\n\r\n")
        method, path, _ = head.split(b" ", 2)
        if method == b"POST":
            body = _chunks(rest)
            if body is None:
                return False
            STORED[path], rest = body
            self._transport.write(OK % 0)
        elif path.endswith(b"/files/md5"):
            self._transport.write(OK % 0)
        elif path in STORED:
            self._transport.write(OK % len(STORED[path]) + (STORED[path] if method == b"GET" else b""))
        else:
            self._transport.write(ABSENT)
        self._unread = rest
        return True


def _chunks(data: bytes) -> tuple[bytes, bytes] | None:
    """A body in chunks, and what follows it; None if its end has not come yet."""
    body, size = b"", -1
    while size:
        line, end, data = data.partition(b"\r\n")
        size = int(line, 16) if end else 0
        if not end or len(data) < size + 2:
            return None
        body, data = body + data[:size], data[size + 2 :]
    return body, data


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
