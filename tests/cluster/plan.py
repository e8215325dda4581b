"""What the first process of the cluster is told to do (`inside.py` does it)."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster import network
from cluster.configuration import API, NODE_NAME, Files

KERNEL = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What kubelet sets for the whole machine. It is shown files that say what it wants instead."""
INSIDE = Path(__file__).with_name("inside.py")


@dataclass(frozen=True, slots=True)
class Daemon:
    """A program that runs as long as the cluster."""

    name: str
    command: list[str]
    after: Path | None = None
    """Starts when this file is there."""
    environment: dict[str, str] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        after = str(self.after) if self.after else ""
        return {"name": self.name, "command": self.command, "after": after, "environment": self.environment}


def daemons(files: Files, programs: dict[str, Path]) -> list[Daemon]:
    """The parts of Kubernetes."""
    return [
        Daemon("containerd", ["containerd", "--config", str(files.home / "containerd.toml")]),
        Daemon("etcd", _etcd(files, programs)),
        Daemon("kube-apiserver", _apiserver(files, programs)),
        Daemon("kube-controller-manager", _controller_manager(files, programs), after=files.api_is_ready),
        Daemon("kube-scheduler", _scheduler(files, programs), after=files.api_is_ready),
        Daemon("kubelet", _kubelet(files, programs), after=files.socket),
        Daemon(
            "kube-proxy",
            [str(programs["kube-proxy"]), f"--config={files.home}/proxy.json"],
            after=files.api_is_ready,
        ),
        Daemon("coredns", [str(programs["coredns"]), "-conf", f"{files.home}/Corefile"], after=files.api_is_ready),
    ]


def _etcd(files: Files, programs: dict[str, Path]) -> list[str]:
    clients, peers = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    return [
        str(programs["etcd"]), "--name=refmill", f"--data-dir={files.home}/etcd",
        f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}", f"--initial-cluster=refmill={peers}",
        # Nothing that is in it survives the cluster.
        "--unsafe-no-fsync", "--log-level=warn",
    ]  # fmt: skip


def _apiserver(files: Files, programs: dict[str, Path]) -> list[str]:
    return [
        str(programs["kube-apiserver"]),
        f"--advertise-address={network.NODE}", f"--bind-address={network.NODE}", "--secure-port=6443",
        "--etcd-servers=http://127.0.0.1:2379", f"--service-cluster-ip-range={network.SERVICES}",
        f"--tls-cert-file={files.certificate('apiserver')}", f"--tls-private-key-file={files.key('apiserver')}",
        f"--client-ca-file={files.certificate('ca')}",
        f"--kubelet-certificate-authority={files.certificate('ca')}",
        f"--kubelet-client-certificate={files.certificate('kubelet-client')}",
        f"--kubelet-client-key={files.key('kubelet-client')}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-issuer=https://kubernetes.default.svc.{network.DOMAIN}",
        f"--service-account-key-file={files.certificates}/service-accounts.pub",
        f"--service-account-signing-key-file={files.key('service-accounts')}",
        "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--anonymous-auth=false",
        "--allow-privileged=true", "--profiling=false",
    ]  # fmt: skip


def _controller_manager(files: Files, programs: dict[str, Path]) -> list[str]:
    return [
        str(programs["kube-controller-manager"]),
        f"--kubeconfig={files.kubeconfig_of('controller-manager')}", "--bind-address=127.0.0.1",
        "--leader-elect=false", "--use-service-account-credentials", f"--cluster-cidr={network.PODS}",
        f"--root-ca-file={files.certificate('ca')}",
        f"--service-account-private-key-file={files.key('service-accounts')}",
        f"--cluster-signing-cert-file={files.certificate('ca')}", f"--cluster-signing-key-file={files.key('ca')}",
    ]  # fmt: skip


def _scheduler(files: Files, programs: dict[str, Path]) -> list[str]:
    return [
        str(programs["kube-scheduler"]), f"--kubeconfig={files.kubeconfig_of('scheduler')}",
        "--bind-address=127.0.0.1", "--leader-elect=false",
    ]  # fmt: skip


def _kubelet(files: Files, programs: dict[str, Path]) -> list[str]:
    return [
        str(programs["kubelet"]), f"--config={files.home}/kubelet.json",
        f"--kubeconfig={files.kubeconfig_of('kubelet')}", f"--hostname-override={NODE_NAME}",
        f"--node-ip={network.NODE}",
    ]  # fmt: skip


def write(files: Files, started: list[Daemon]) -> list[str]:
    """Write the plan down; gives the command that carries it out."""
    masks = files.home / "kernel"
    masks.mkdir()
    for name, value in KERNEL.items():
        (masks / name.replace("/", ".")).write_text(f"{value}\n", encoding="utf-8")
    for folder in ("logs", "tmp"):
        (files.home / folder).mkdir(exist_ok=True)
    content = {
        "home": str(files.home),
        "logs": str(files.logs),
        "ended": str(files.ended),
        # The pods' logs, kubelet's and CNI's state have fixed places there.
        "binds": [[str(files.home / "var-lib"), "/var/lib"], [str(files.home / "var-log"), "/var/log"]],
        "masks": [[str(masks / name.replace("/", ".")), f"/proc/sys/{name}"] for name in KERNEL],
        "link": network.INSIDE,
        "network": network.inside(),
        "environment": {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(files.home),
            "TMPDIR": str(files.home / "tmp"),
        },
        "daemons": [daemon.as_data() for daemon in started],
    }
    files.plan.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return [sys.executable, "-I", "-S", str(INSIDE), str(files.plan)]


def addresses() -> dict[str, str]:
    """What a person may want to know."""
    return {"API server": API, "pods": network.PODS, "services": network.SERVICES, "this machine": network.HOST}
