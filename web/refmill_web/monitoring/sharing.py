"""Lets the web's process ask another one what it counted, over a unix socket.

`prometheus_client` would keep counters in files that all processes map: on a full disk, a process that writes to such
a map is killed (decision 0022).
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.registry import CollectorRegistry

from refmill.clients.sockets import address
from refmill_web.monitoring import families

LOG = logging.getLogger(__name__)
SECONDS = 1.0
"""How long one may take to answer, who has nothing to do for it but to write down some numbers."""
LONGEST = 1 << 20
"""Bytes of an answer."""


class Teller:
    """Tells whoever connects to the socket `path` all that is in `registry`. Where there is no room for the socket, it
    tells nobody: who works must not end for want of being watched."""

    def __init__(self, path: Path, registry: CollectorRegistry) -> None:
        self._path, self._registry = path, registry
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            path.unlink(missing_ok=True)
            with address(path.parent, path.name) as place:
                self._listener.bind(place)
            path.chmod(0o600)
            self._listener.listen(8)
        except OSError as error:
            LOG.warning("figures are told to nobody: %s", error)
            self._listener.close()
            return
        threading.Thread(target=self._run, name="figures", daemon=True).start()

    def close(self) -> None:
        """Tell nothing more."""
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.settimeout(SECONDS)
                    connection.sendall(families.to_json(families.taken(self._registry)))
                except OSError as error:
                    LOG.info("figures could not be told: %s", error)
                except Exception:
                    LOG.exception("figures could not be gathered")


def ask(path: Path) -> list[Metric]:
    """What is told at `path`. Raises OSError if nobody answers in time, ValueError for an answer that is none."""
    told = bytearray()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(SECONDS)
        with address(path.parent, path.name) as place:
            connection.connect(place)
        while piece := connection.recv(1 << 16):
            told += piece
            if len(told) > LONGEST:
                raise ValueError("more than anybody counts")
    return families.from_json(bytes(told))
