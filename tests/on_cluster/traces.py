"""What a cluster could leave on a machine, looked at from outside it."""

import json
import os
import subprocess
from dataclasses import dataclass, fields
from pathlib import Path

from cluster import cgroups, plan

PROGRAMS = {
    "containerd", "containerd-shim", "etcd", "kube-apiserver", "kube-controller", "kube-scheduler", "kubelet",
    "kube-proxy", "coredns", "pause", "workflow-contro",
}  # fmt: skip
"""As the kernel shortens them."""
FOLDERS = ("/run", "/var/lib", "/var/log", "/opt", "/etc", "/etc/cni", "/run/netns", "/mnt", "/usr/libexec")
KERNEL = [f"/proc/sys/{name}" for name in (*plan.KERNEL, "net/netfilter/nf_conntrack_max", "net/ipv4/ip_forward")]


@dataclass(frozen=True)
class Traces:
    """The state of this machine, as far as a cluster can change it."""

    mounts: frozenset[str]
    processes: frozenset[str]
    cgroups: frozenset[str]
    links: frozenset[str]
    routes: frozenset[str]
    rules: frozenset[str]
    kernel: frozenset[str]
    folders: frozenset[str]

    def since(self, before: "Traces") -> dict[str, list[str]]:
        """What is here that was not, and what is not that was."""
        found = {}
        for field in fields(self):
            now, then = getattr(self, field.name), getattr(before, field.name)
            if now != then:
                found[field.name] = [f"+ {each}" for each in sorted(now - then)] + [
                    f"- {each}" for each in sorted(then - now)
                ]
        return found


def look() -> Traces:
    """As it is now."""
    return Traces(
        mounts=frozenset(" ".join(line.split()[3:]) for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        processes=frozenset(_processes()),
        cgroups=frozenset(_cgroups()),
        links=frozenset(each["ifname"] for each in json.loads(_said("ip", "-json", "link"))),
        routes=frozenset(_said("ip", "route", "show", "table", "all").splitlines()),
        rules=frozenset(_rules()),
        kernel=frozenset(f"{name} {Path(name).read_text().strip()}" for name in KERNEL if Path(name).exists()),
        folders=frozenset(
            f"{folder}/{name}" for folder in FOLDERS if Path(folder).is_dir() for name in os.listdir(folder)
        ),
    )


def namespaces() -> set[str]:
    """Those of the cluster's processes that are not the machine's own."""
    own = {os.readlink(f"/proc/self/ns/{kind}") for kind in ("net", "mnt", "pid")}
    found = set()
    for number in cgroups.processes():
        for kind in ("net", "mnt", "pid"):
            try:
                found.add(os.readlink(f"/proc/{number}/ns/{kind}"))
            except OSError:  # it has just ended
                continue
    return found - own


def inhabited() -> set[str]:
    """Namespaces in which any process of the machine is, or that a mount keeps."""
    found = {word for word in Path("/proc/self/mountinfo").read_text().split() if ":[" in word}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            for kind in ("net", "mnt", "pid"):
                try:
                    found.add(os.readlink(folder / "ns" / kind))
                except OSError:
                    continue
    return found


def _cgroups() -> list[str]:
    """Of the cluster all, of others the outermost: deeper ones, and those of stages, go with what else runs here."""
    outermost = [
        folder
        for top in cgroups.hierarchies()
        for folder in top.iterdir()
        if folder.is_dir() and not folder.name.startswith("refmill-")
    ]
    return [str(folder) for folder in [*outermost, *cgroups.folders()]]


def _processes() -> list[str]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                name = (folder / "comm").read_text().strip()
            except OSError:
                continue
            if name in PROGRAMS:
                found.append(f"{folder.name} {name}")
    return found


def _rules() -> list[str]:
    return [line.partition(" [")[0] for line in _said("iptables-save").splitlines() if not line.startswith("#")]


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
