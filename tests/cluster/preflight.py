"""Whether this machine can carry the cluster: everything that is missing is told at once."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from cluster import cgroups, network
from cluster.errors import ClusterError
from cluster.places import HIDDEN, Places

PACKAGES = {
    "containerd": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "unshare": "util-linux",
    "mount": "mount",
}
"""Programs and the Debian packages that have them."""
PLUGINS = Path("/usr/lib/cni")
NEEDED_PLUGINS = ("bridge", "host-local", "portmap", "loopback")
BUSYBOX = "busybox-static"
NAMESPACES = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"]
TRIAL = """set -e
mount -t proc proc /proc
mount -t tmpfs none /mnt
mkdir "$1/lower" "$1/upper" "$1/work"
mount -t overlay -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" none /mnt
ip link add probe type veth
"""
"""What containers and pods will need, in namespaces that go at once."""
ELSEWHERE = "A cluster that is already there does as well: make test-cluster KUBECONFIG=FILE"
NO_GO = "there is no Go; install Go 1.26 or newer, which builds the cluster's programs"
LONGEST_SOCKET = 107
"""Bytes in the path of a unix socket, by the kernel."""


def busybox() -> Path | None:
    """A busybox that runs without any library, else None."""
    found = shutil.which("busybox")
    if found is None:
        return None
    linked = subprocess.run(["ldd", found], capture_output=True, text=True, check=False)
    return Path(found) if "not a dynamic executable" in linked.stdout + linked.stderr else None


def missing_packages() -> list[str]:
    """Debian packages of which something is missing."""
    missing = {package for program, package in PACKAGES.items() if shutil.which(program) is None}
    if any(not (PLUGINS / name).exists() for name in NEEDED_PLUGINS):
        missing.add("containernetworking-plugins")
    if busybox() is None:
        missing.add(BUSYBOX)
    return sorted(missing)


def check(places: Places) -> None:
    """Raises ClusterError, with all that stands in the way and what helps."""
    found = list(_problems(places))
    if found:
        raise ClusterError("\n".join(["This machine cannot carry the test cluster:", *found, ELSEWHERE]))


def _problems(places: Places) -> list[str]:
    if not sys.platform.startswith("linux"):
        return ["- it does not run Linux"]
    found = []
    if missing := missing_packages():
        found.append(f"- packages are missing: apt-get install {' '.join(missing)}")
    if shutil.which("go") is None:
        found.append(f"- {NO_GO}")
    if str(places.home).startswith(tuple(f"{folder}/" for folder in HIDDEN)):
        found.append(f"- REFMILL_CLUSTER_CACHE lies below one of {', '.join(HIDDEN)}: choose another folder")
    if len(str(places.home / "containerd.sock.ttrpc")) > LONGEST_SOCKET:
        found.append(f"- the path {places.home} is too long for a socket: set REFMILL_CLUSTER_CACHE to a shorter one")
    if os.geteuid() != 0:
        return [*found, "- it takes root: namespaces, mounts and cgroups are made"]
    if not cgroups.hierarchies():
        found.append("- no cgroups are mounted at /sys/fs/cgroup")
    if shutil.which("unshare") and shutil.which("ip"):
        found += _refused(places)
        found += [f"- the cluster's addresses are in use: {route}" for route in network.taken()]
    return found


def _refused(places: Places) -> list[str]:
    """What the kernel says to namespaces, mounts, containers' file systems and links."""
    places.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".trial-", dir=places.cache) as folder:
        tried = subprocess.run(
            [*NAMESPACES, "sh", "-c", TRIAL, "sh", folder], capture_output=True, text=True, check=False
        )
    if tried.returncode == 0:
        return []
    return [f"- namespaces, mounts or links are refused here: {(tried.stderr or tried.stdout).strip()}"]
