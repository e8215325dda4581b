"""Releases of the chart: installed by the real helm into a namespace that lets in confined pods alone."""

import base64
import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from clusters import OnCluster

import charting
from cluster.kubectl import environment
from platforms import Copy

RELEASE = "refmill"
SERVERS = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=server"
"""The labels of the server's pods."""
MINUTES = 10
NOTHING: Mapping[str, Path] = {}
MODES = ["ReadWriteOnce", "ReadWriteMany"]
"""How volumes may be mounted: on one node a folder of it is there for all pods."""


@dataclass(frozen=True)
class Installed:
    """A release in a namespace of its own."""

    cluster: OnCluster
    namespace: str
    values: dict[str, Any]
    server: ClassVar[str] = f"{RELEASE}-0"
    """Where commands run, as kubectl is told it."""

    def helm(self, *words: str, values: dict[str, Any] | None = None) -> str:
        """What helm says."""
        given = [] if values is None else ["--values", "-"]
        done = subprocess.run(
            [charting.helm(), *words, "--namespace", self.namespace, *given],
            input=json.dumps(values) if given else "", capture_output=True, text=True, check=False,
            env=environment(self.cluster.kubectl.kubeconfig), timeout=MINUTES * 60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr + self.story()
        return done.stdout

    def story(self) -> str:
        """What the cluster says of the pods, for whoever reads a failure."""
        described = self.cluster.kubectl.tried("describe", "pod", "-n", self.namespace).stdout
        words = ("--all-containers", "--prefix", "--tail=-1", "-n", self.namespace)
        return described + self.cluster.kubectl.tried("logs", "-l", SERVERS, *words).stdout

    def install(self, **settings: str) -> None:
        """Make it, or make it so, with these settings beside its own; waits until all is ready."""
        self.upgrade("--wait", f"--timeout={MINUTES}m", **settings)

    def upgrade(self, *words: str, **settings: str) -> None:
        """The same as helm does it, told no more than that."""
        values = self.values | {"settings": self.values["settings"] | settings}
        self.helm("upgrade", "--install", RELEASE, str(charting.CHART), *words, values=values)

    def change(self, value: str, *words: str) -> None:
        """The same release with one more value, as people are told to change it."""
        self.helm("upgrade", RELEASE, str(charting.CHART), "--reuse-values", "--set", value, *words)

    def inside(self, *words: str) -> list[str]:
        """What is run for a command in the server's pod, which may read."""
        pod = ("exec", "-i", self.server, "-c", "refmill", "-n", self.namespace, "--")
        return self.cluster.kubectl.command(*pod, *words)

    def refmill(self, *words: str) -> str:
        """What a command of ours says there."""
        pod = ("exec", self.server, "-c", "refmill", "-n", self.namespace, "--")
        return self.cluster.kubectl(*pod, "refmill", *words)

    def secret(self, name: str) -> dict[str, str]:
        """The values of a Secret."""
        data = self.cluster.kubectl.data("get", "secret", name, "-n", self.namespace)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    @property
    def secrets(self) -> list[dict[str, str]]:
        """The key and the password."""
        return [self.secret(f"{RELEASE}-encryption"), self.secret(f"{RELEASE}-admin")]

    @property
    def password(self) -> str:
        """That of the first account, `operator`."""
        return self.secret(f"{RELEASE}-admin")["password"]

    @property
    def address(self) -> str:
        """The Service's, which this machine reaches."""
        return self.cluster.kubectl.data("get", "service", RELEASE, "-n", self.namespace)["spec"]["clusterIP"]

    @contextlib.contextmanager
    def forwarded(self, service: str = RELEASE, port: int = 80) -> Iterator[str]:
        """The address of a Service of the release for people without an ingress, while `kubectl port-forward` runs."""
        command = self.cluster.kubectl.command("port-forward", f"service/{service}", f":{port}", "-n", self.namespace)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            assert process.stdout is not None
            try:
                line = process.stdout.readline()  # Forwarding from 127.0.0.1:40001 -> 8700
                assert line.startswith("Forwarding from "), line
                yield f"http://localhost:{line.split()[2].rpartition(':')[2]}"
            finally:
                process.terminate()

    def newest(
        self, repository: str, commit: str, *, over: bool = False, seconds: float = 180
    ) -> dict[str, Any]:  # fmt: skip
        """The newest run of a repository as soon as it is this commit's, or when it has ended."""

        def run() -> Any:
            runs = json.loads(self.refmill("runs", repository, "--json"))
            return runs and runs[0]["commit"] == commit and (runs[0]["finished"] or not over) and runs[0]

        found: dict[str, Any] = self.cluster.wait_for(run, f"the run of {repository}", seconds)
        return found

    def pods_of(self, run: Mapping[str, Any]) -> list[str]:
        """The phases of all pods that Argo ever made for a run, out of the one Workflow that there is; Argo notes the
        end of a pod later than the platform."""
        where = ("get", "workflows.argoproj.io", "-n", self.namespace, "-l", f"refmill.dev/run={run['id']}")

        def ended() -> dict[str, Any] | None:
            (found,) = self.cluster.kubectl.data(*where)["items"]
            return found if found["status"]["phase"] == "Succeeded" else None

        workflow = self.cluster.wait_for(ended, "Argo says that it is over")
        return [node["phase"] for node in workflow["status"]["nodes"].values() if node["type"] == "Pod"]

    def push(self, copy: Copy) -> dict[str, Any]:
        """Push as the first account; gives the run when it has ended."""
        copy.git("push", "--quiet", f"http://operator:{self.password}@{self.address}/operator/tiny.git", "main")
        return self.newest("operator/tiny", copy.git("rev-parse", "HEAD").stdout.strip(), over=True)


@contextlib.contextmanager
def release_in(
    cluster: OnCluster, namespace: str, images: dict[str, str], volume: Path, *, beside: Mapping[str, Path] = NOTHING,
    **values: Any,
) -> Iterator[Installed]:  # fmt: skip
    """What a release needs in a namespace, and what it says of itself; `volume` is the folder that it keeps its data
    in, `beside` those of the parts beside the server. `images` are those of the Dockerfile, loaded."""
    if cluster.files is None:
        pytest.skip("a given cluster's addresses need not be reachable from here")
    enforce = "pod-security.kubernetes.io/enforce=restricted"
    cluster.kubectl("label", "namespace", namespace, enforce)
    claims = {f"data-{RELEASE}-0": volume} | {f"data-{RELEASE}-{part}-0": folder for part, folder in beside.items()}
    names = [_volume(cluster, namespace, claim, folder) for claim, folder in claims.items()]
    repository, _, tag = images["platform"].rpartition(":")
    try:
        yield Installed(cluster, namespace, {
            "image": {"repository": repository, "tag": tag}, "storage": {"size": "5Gi", "className": "-"},
            "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}}, "argo": {"enabled": True},
            "settings": {"argo_image": images["runner"]}, **values,
        })  # fmt: skip
    finally:
        kinds = "deployment,statefulset,pod"
        cluster.kubectl.tried("delete", kinds, "--all", "-n", namespace, "--timeout=120s", seconds=180)
        cluster.kubectl("delete", "pv", *names, "--wait=false")


def _volume(cluster: OnCluster, namespace: str, claim: str, folder: Path) -> str:
    """The name of a volume for that claim, which lies in a new folder of this machine."""
    folder.mkdir()
    node = cluster.kubectl.data("get", "nodes")["items"][0]["metadata"]["labels"]["kubernetes.io/hostname"]
    name = f"{claim}-of-{namespace}"
    cluster.kubectl.apply({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "5Gi"}, "accessModes": MODES, "persistentVolumeReclaimPolicy": "Retain",
            "local": {"path": str(folder)},
            "claimRef": {"namespace": namespace, "name": claim},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]},
            ]}},
        },
    })  # fmt: skip
    return name
