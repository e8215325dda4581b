"""A cluster that somebody names: how it and this machine reach each other."""

import contextlib
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from clusters import OnCluster, Silent, served

KUBECONFIG, HOST = "REFMILL_CLUSTER_KUBECONFIG", "REFMILL_CLUSTER_HOST"
"""Variables that name a cluster, and this machine's address for its pods."""


def kubeconfig() -> Path | None:
    """The file that was named."""
    return Path(named) if (named := os.environ.get(KUBECONFIG)) else None


def hosts() -> list[str]:
    """Beside loopback, where tests of that cluster connect to: its API server, and this machine."""
    if (path := kubeconfig()) is None:
        return []
    return [host for host in (_server(path)[0], own_address(path)) if host]


def own_address(path: Path) -> str:
    """This machine's address for pods, as it was told, or the one from which it reaches the API server; "" where that
    is an address of the machine alone."""
    if told := os.environ.get(HOST):
        return told
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.connect(_server(path))  # nothing is sent
        found: str = asked.getsockname()[0]
        return "" if found.startswith("127.") else found
    return ""


def _server(path: Path) -> tuple[str, int]:
    """Where the API server of a kubeconfig is."""
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    chosen = next(each["context"] for each in told["contexts"] if each["name"] == told["current-context"])
    server = next(each["cluster"]["server"] for each in told["clusters"] if each["name"] == chosen["cluster"])
    found = urlsplit(server)
    return found.hostname or "", found.port or 443


def reaches(cluster: OnCluster, namespace: str, host: str) -> bool:
    """Whether a pod gets an answer from this machine at that address."""
    with contextlib.ExitStack() as stack:
        try:
            address = stack.enter_context(served(_Greets, host))
        except OSError:
            return False  # it is no address of this machine
        cluster.run(namespace, "reaches", f"timeout 20 wget -q -O /dev/null {address}")
        return bool(cluster.finished(namespace, "reaches")["exitCode"] == 0)


class _Greets(Silent):
    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        self.answer(b"here")


def way(cluster: OnCluster, namespace: str, path: Path) -> str:
    """This machine's address for pods, which has been tried; "" where there is none. The session fails where the one
    that was named is none."""
    host = own_address(path)
    if not host or reaches(cluster, namespace, host):
        return host
    if os.environ.get(HOST):
        pytest.exit(
            f"CLUSTER_HOST={host}: it is no address of this machine, or the cluster's pods get no answer there", 2
        )
    return ""
