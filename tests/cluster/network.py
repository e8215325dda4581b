"""The cluster's addresses, and the pair of links that leads to them."""

import ipaddress
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from cluster.calling import call, wait
from cluster.errors import ClusterError

HOST = "10.250.0.1"
"""This machine, as the cluster and its pods see it."""
NODE = "10.250.0.2"
LINKS = "10.250.0.0/24"
PODS = "10.244.0.0/16"
SERVICES = "10.96.0.0/16"
FIRST_SERVICE = "10.96.0.1"
"""Where a pod finds the API server."""
RANGES = (LINKS, PODS, SERVICES)
LINK = "refmill-cluster"
INSIDE = "eth0"
DOMAIN = "cluster.local"


def _routes() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(call(["ip", "-json", "-4", "route", "show", "table", "all"]) or "[]")
    return found


def taken() -> list[str]:
    """Routes of this machine, as text, that lead into the cluster's addresses."""
    own = [ipaddress.IPv4Network(text) for text in RANGES]
    found = []
    for route in _routes():
        text = route.get("dst", "default")
        if text == "default" or route.get("dev") == LINK or route.get("type") == "broadcast":
            continue
        network = ipaddress.IPv4Network(text, strict=False)
        # A wider one, as of a company's 10.0.0.0/8, does no harm: the narrower wins.
        if any(network.subnet_of(mine) for mine in own):
            found.append(f"{text} by {route.get('dev', '?')}")
    return found


def exists() -> bool:
    """Whether the cluster's link is there."""
    return Path("/sys/class/net", LINK).exists()


def connect(process: int) -> None:
    """Lead from this machine into the network namespace of a process; raises ClusterError where that is refused.

    The routes go with the link, and the link goes with the namespace.
    """
    wait(lambda: _separate(process), "the cluster has a network namespace of its own", 10, pause=0.02)
    call(["ip", "link", "add", LINK, "type", "veth", "peer", "name", INSIDE, "netns", str(process)])
    call(["ip", "address", "add", f"{HOST}/24", "dev", LINK])
    call(["ip", "link", "set", LINK, "up"])
    for addresses in (PODS, SERVICES):
        call(["ip", "route", "add", addresses, "via", NODE, "dev", LINK])


def _separate(process: int) -> bool:
    try:
        return os.readlink(f"/proc/{process}/ns/net") != os.readlink("/proc/self/ns/net")
    except FileNotFoundError as error:
        raise ClusterError("the cluster's first process has ended, see its log") from error


def inside() -> list[list[str]]:
    """Commands that the other end needs once its link is there."""
    return [
        ["ip", "link", "set", "lo", "up"],
        ["ip", "address", "add", f"{NODE}/24", "dev", INSIDE],
        ["ip", "link", "set", INSIDE, "up"],
        ["ip", "route", "add", "default", "via", HOST],
    ]


def disconnect() -> None:
    """Take the link away, and its routes with it; raises ClusterError where it stays."""

    def gone() -> bool:
        if exists():
            subprocess.run(["ip", "link", "delete", LINK], capture_output=True, check=False)
        return not exists()

    wait(gone, f"the link {LINK} is gone", 20)
