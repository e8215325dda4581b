"""The settings of every part of the cluster. Each that is not the default has its reason."""

import json
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster import cgroups, network, preflight
from cluster.certificates import Authority, key_pair

NODE_NAME = "refmill"
API = f"https://{network.NODE}:6443"
PAUSE = "refmill.test/pause:1"
API_NAMES = (
    network.NODE, network.FIRST_SERVICE, "127.0.0.1", "localhost", "kubernetes", "kubernetes.default",
    "kubernetes.default.svc", f"kubernetes.default.svc.{network.DOMAIN}",
)  # fmt: skip
MOST_FILES = 1_000_000
"""What kubelet and containerd ask for by default; a machine may allow less."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where the settings and the state of a running cluster lie."""

    home: Path

    @property
    def certificates(self) -> Path:
        return self.home / "certificates"

    @property
    def kubeconfig(self) -> Path:
        """For a person: all rights."""
        return self.home / "kubeconfig"

    @property
    def socket(self) -> Path:
        return self.home / "containerd.sock"

    @property
    def plan(self) -> Path:
        return self.home / "plan.json"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def ended(self) -> Path:
        """One line of JSON for each program that ended by itself."""
        return self.home / "ended"

    @property
    def api_is_ready(self) -> Path:
        """Made when the API server answers: what needs it starts then."""
        return self.home / "api-is-ready"

    @property
    def argo_is_ready(self) -> Path:
        """Made when all is there that Argo's controller wants to find."""
        return self.home / "argo-is-ready"

    def kubeconfig_of(self, name: str) -> Path:
        """For a part of the cluster."""
        return self.certificates / f"{name}.kubeconfig"

    def certificate(self, name: str) -> str:
        return str(self.certificates / f"{name}.crt")

    def key(self, name: str) -> str:
        return str(self.certificates / f"{name}.key")


def write_identities(files: Files) -> None:
    """Certificates, and settings for clients that show them."""
    authority = Authority(files.certificates)
    key_pair(files.certificates, "service-accounts")
    authority.issue("apiserver", common_name="kube-apiserver", names=API_NAMES)
    authority.issue("kubelet-server", common_name=NODE_NAME, names=(NODE_NAME, network.NODE))
    authority.issue("kubelet-client", common_name="kube-apiserver-kubelet-client", groups=("system:masters",))
    clients = {
        "admin": ("admin", ("system:masters",)),
        "controller-manager": ("system:kube-controller-manager", ()),
        "scheduler": ("system:kube-scheduler", ()),
        "proxy": ("system:kube-proxy", ()),
        "coredns": ("system:coredns", ()),
        "kubelet": (f"system:node:{NODE_NAME}", ("system:nodes",)),
    }
    for name, (user, groups) in clients.items():
        authority.issue(name, common_name=user, groups=groups)
        authority.write_kubeconfig(files.kubeconfig_of(name), name, API)
    authority.write_kubeconfig(files.kubeconfig, "admin", API)


def write_settings(files: Files) -> None:
    """The files that programs read at their start."""
    texts = {
        "containerd.toml": containerd(files),
        "cni/10-refmill.conflist": json.dumps(cni(files)),
        "kubelet.json": json.dumps(kubelet(files)),
        "proxy.json": json.dumps(proxy(files)),
        "Corefile": corefile(files),
        "resolv.conf": f"nameserver {network.NODE}\n",
    }
    for name, content in texts.items():
        path = files.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def containerd(files: Files) -> str:
    """Config version 2: containerd 1.6 knows no other, and 2.x still reads it."""
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""version = 2
root = "{files.home}/containerd"
state = "/run/containerd"
[grpc]
address = "{files.socket}"
[debug]
level = "warn"
[plugins."io.containerd.internal.v1.opt"]
path = "{files.home}/opt"
[{cri}]
sandbox_image = "{PAUSE}"
# Where CAP_SYS_RESOURCE is missing, runc dies of any lower score ("can't get final child's PID from pipe: EOF").
restrict_oom_score_adj = true
disable_apparmor = true
disable_hugetlb_controller = true
# Pods' network namespaces lie below `state`, which goes with the cluster.
netns_mounts_under_state_dir = true
[{cri}.cni]
bin_dir = "{preflight.PLUGINS}"
conf_dir = "{files.home}/cni"
[{cri}.containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[{cri}.containerd.runtimes.runc.options]
SystemdCgroup = false
"""


def cni(files: Files) -> dict[str, Any]:
    """One bridge for all pods. No masquerade: this machine has a route to each pod."""
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": network.PODS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(files.home / "addresses"),
    }
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipam": addresses}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "refmill", "plugins": [bridge, ports]}


def most_files() -> int:
    """Open files, as many as this machine allows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)


def kubelet(files: Files) -> dict[str, Any]:
    """The node."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network.NODE,
        "healthzBindAddress": "127.0.0.1",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": files.certificate("ca")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": files.certificate("kubelet-server"),
        "tlsPrivateKeyFile": files.key("kubelet-server"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroups.NAME}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDNS": [network.NODE],
        "clusterDomain": network.DOMAIN,
        "resolvConf": str(files.home / "resolv.conf"),
        "containerRuntimeEndpoint": f"unix://{files.socket}",
        "volumePluginDir": str(files.home / "volume-plugins"),
        "maxOpenFiles": most_files(),
        "oomScoreAdj": 0,
        # A disk that other things fill must not evict the pods of a test.
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        # How soon a pod is evicted that writes more than it may.
        "volumeStatsAggPeriod": "5s",
        # No registry: what is collected would be lost.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    }


def proxy(files: Files) -> dict[str, Any]:
    """Service addresses."""
    # These settings are the whole machine's, so they are left as they are.
    untouched = {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(files.kubeconfig_of("proxy"))},
        "clusterCIDR": network.PODS,
        "mode": "iptables",
        "conntrack": untouched,
        "hostnameOverride": NODE_NAME,
        "oomScoreAdj": 0,
        "metricsBindAddress": "127.0.0.1:10249",
        "healthzBindAddress": "127.0.0.1:10256",
    }


def corefile(files: Files) -> str:
    """Names of services. There is nothing beyond the cluster to ask for others."""
    return f""".:53 {{
    bind {network.NODE}
    errors
    ready 127.0.0.1:8181
    kubernetes {network.DOMAIN} in-addr.arpa {{
        kubeconfig {files.kubeconfig_of("coredns")}
        ttl 5
    }}
}}
"""
