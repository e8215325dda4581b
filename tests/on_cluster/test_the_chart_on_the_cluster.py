"""The chart on a real cluster: what the API server makes of it, and a platform that is installed, pushed to, changed,
brought back, taken away and installed again."""

import base64
import json
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from clusters import OnCluster

import charting
from chart_values import VALUES
from cluster import lifecycle, platform_image
from cluster.errors import ClusterError
from cluster.kubectl import environment
from cluster.places import places
from platforms import Copy, new_copy

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]
RELEASE = "refmill"
PIPELINE = "stages:\n  count: {cmd: 'wc -l < rows.txt > count.txt && id -u', deps: [rows.txt], outs: [count.txt]}\n"
MINUTES = 10


@pytest.fixture(scope="session")
def platform_images(cluster: OnCluster) -> dict[str, str]:
    """The images of the Dockerfile by target, loaded."""
    try:
        found = {target: platform_image.built(places().cache, target, print) for target in platform_image.TARGETS}
    except ClusterError as error:
        pytest.skip(f"no image of the platform: {error}")
    if cluster.files:
        for image in found.values():
            lifecycle.load(cluster.files, image.archive)
    return {target: image.name for target, image in found.items()}


@dataclass(frozen=True)
class Installed:
    """A release in a namespace of its own that lets in confined pods alone."""

    cluster: OnCluster
    namespace: str
    values: dict[str, Any]

    def helm(self, *words: str, values: dict[str, Any] | None = None) -> str:
        """What helm says; it waits until all is ready."""
        given = [] if values is None else ["--values", "-"]
        done = subprocess.run(
            [charting.helm(), *words, "--namespace", self.namespace, *given],
            input=json.dumps(self.values | (values or {})) if given else "", capture_output=True, text=True, check=False,
            env=environment(self.cluster.kubectl.kubeconfig), timeout=MINUTES * 60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr + self.story()
        return done.stdout

    def story(self) -> str:
        """What the cluster says of the pod, for whoever reads a failure."""
        described = self.cluster.kubectl.tried("describe", "pod", "-n", self.namespace).stdout
        logs = [
            self.cluster.kubectl.tried("logs", f"{RELEASE}-0", "-c", name, "-n", self.namespace).stdout
            for name in ("prepare", "refmill")
        ]
        return "\n".join([described, *logs])

    def install(self, **values: Any) -> None:
        """Make it, or make it so."""
        self.helm(
            "upgrade", "--install", RELEASE, str(charting.CHART), "--wait", f"--timeout={MINUTES}m", values=values
        )

    def refmill(self, *words: str) -> Any:
        """A command in the server's pod, whose answer is JSON."""
        return json.loads(
            self.cluster.kubectl("exec", f"{RELEASE}-0", "-c", "refmill", "-n", self.namespace, "--", "refmill", *words)
        )

    def secret(self, name: str) -> dict[str, str]:
        """The values of a Secret."""
        data = self.cluster.kubectl.data("get", "secret", name, "-n", self.namespace)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    @property
    def secrets(self) -> list[dict[str, str]]:
        """The key and the password."""
        return [self.secret(f"{RELEASE}-encryption"), self.secret(f"{RELEASE}-admin")]

    @property
    def address(self) -> str:
        """The Service's, which this machine reaches."""
        return self.cluster.kubectl.data("get", "service", RELEASE, "-n", self.namespace)["spec"]["clusterIP"]

    def push(self, copy: Copy) -> dict[str, Any]:
        """Push as the first account; gives the run when it has ended."""
        password = self.secret(f"{RELEASE}-admin")["password"]
        copy.git("push", "--quiet", f"http://operator:{password}@{self.address}/operator/tiny.git", "main")

        def ended() -> Any:
            runs = self.refmill("runs", "operator/tiny", "--json")
            return (
                runs
                and runs[0]["commit"] == copy.git("rev-parse", "HEAD").stdout.strip()
                and runs[0]["finished"]
                and runs[0]
            )

        found: dict[str, Any] = self.cluster.wait_for(ended, "the run ends", 180)
        return found


@pytest.fixture
def installed(
    workflows: OnCluster, namespace: str, platform_images: dict[str, str], tmp_path: Path
) -> Iterator[Installed]:
    cluster = workflows
    if cluster.files is None:
        pytest.skip("a given cluster's addresses need not be reachable from here")
    enforce = "pod-security.kubernetes.io/enforce=restricted"
    cluster.kubectl("label", "namespace", namespace, enforce)
    (tmp_path / "volume").mkdir()
    node = cluster.kubectl.data("get", "nodes")["items"][0]["metadata"]["labels"]["kubernetes.io/hostname"]
    volume = f"volume-of-{namespace}"
    cluster.kubectl.apply({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume},
        "spec": {
            "capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain",
            "local": {"path": str(tmp_path / "volume")},
            "claimRef": {"namespace": namespace, "name": f"data-{RELEASE}-0"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]},
            ]}},
        },
    })  # fmt: skip
    repository, _, tag = platform_images["platform"].rpartition(":")
    yield Installed(cluster, namespace, {
        "image": {"repository": repository, "tag": tag}, "storage": {"size": "5Gi", "className": "-"},
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}}, "argo": {"enabled": True},
        "settings": {"argo_image": platform_images["runner"]},
    })  # fmt: skip
    cluster.kubectl.tried("delete", "statefulset,pod", "--all", "-n", namespace, "--timeout=120s", seconds=180)
    cluster.kubectl("delete", "pv", volume, "--wait=false")


@pytest.mark.parametrize("name", VALUES)
def test_the_api_server_takes_every_manifest(cluster: OnCluster, namespace: str, name: str) -> None:
    values = VALUES[name]
    if values.get("argo", {}).get("namespace"):
        values = values | {"argo": values["argo"] | {"namespace": namespace}}
    for item in filter(None, yaml.safe_load_all(charting.rendered(values, namespace).replace("(made)", "bWFkZQ=="))):
        if item["apiVersion"].startswith("monitoring.coreos.com/"):
            continue  # kinds of Prometheus Operator, which the cluster does not have
        command = ("create", "--dry-run=server", "--validate=strict", "-f", "-")
        done = cluster.kubectl.tried(*command, stdin=json.dumps(item))
        assert done.returncode == 0, f"{item['kind']} {item['metadata']['name']}: {done.stderr}"
        assert "would violate" not in done.stderr  # PodSecurity's warning


def test_a_platform_is_installed_changed_taken_back_and_installed_again(installed: Installed, tmp_path: Path) -> None:
    cluster = installed.cluster
    installed.install()
    with urllib.request.urlopen(f"http://{installed.address}/", timeout=30) as answer:
        assert answer.status == 200
        assert b"Refmill" in answer.read()
    copy = new_copy(tmp_path / "copy", {"dvc.yaml": PIPELINE, "rows.txt": "1\n2\n3\n"})
    first = installed.push(copy)
    assert first["status"] == "succeeded", json.dumps(installed.refmill("show", "operator/tiny#1", "--json"))
    secrets, pod = installed.secrets, cluster.pod(installed.namespace, f"{RELEASE}-0")["metadata"]["uid"]

    # Other settings are another pod on the same volume, with the same key and password.
    installed.install(settings=installed.values["settings"] | {"stage_memory": "1Gi"})
    changed = cluster.pod(installed.namespace, f"{RELEASE}-0")["metadata"]["uid"]
    assert changed != pod
    assert installed.secrets == secrets
    settings = ("get", "configmap", f"{RELEASE}-settings", "-n", installed.namespace)
    assert cluster.kubectl.data(*settings)["data"]["REFMILL_STAGE_MEMORY"] == "1Gi"
    second = installed.push(edited(copy, "1\n2\n"))
    assert (second["number"], second["status"]) == (2, "succeeded")

    installed.helm("rollback", RELEASE, "1", "--wait", f"--timeout={MINUTES}m")
    assert "REFMILL_STAGE_MEMORY" not in cluster.kubectl.data(*settings)["data"]
    assert [run["number"] for run in installed.refmill("runs", "operator/tiny", "--json")] == [2, 1]

    # What cannot be made again stays, and is found again. So does what runs have made, which is none of the chart's.
    installed.helm("uninstall", RELEASE, "--wait")
    kinds = "statefulset,service,configmap,serviceaccount,role"
    of_the_chart = f"app.kubernetes.io/instance={RELEASE}"
    assert cluster.kubectl("get", kinds, "-n", installed.namespace, "-l", of_the_chart, "-o", "name") == ""
    assert installed.secrets == secrets
    assert (
        cluster.kubectl.data("get", "pvc", f"data-{RELEASE}-0", "-n", installed.namespace)["status"]["phase"] == "Bound"
    )
    installed.install()
    assert installed.secrets == secrets
    third = installed.push(edited(copy, "1\n"))
    assert (third["number"], third["status"]) == (3, "succeeded")

    # Another key than the volume's would open nothing, and what it closed the right one would not open.
    other = json.dumps({"stringData": {"secrets.key": "another"}})
    cluster.kubectl("patch", "secret", f"{RELEASE}-encryption", "-n", installed.namespace, "-p", other)
    cluster.kubectl("delete", "pod", f"{RELEASE}-0", "-n", installed.namespace)
    prepare = ("logs", f"{RELEASE}-0", "-c", "prepare", "-n", installed.namespace)
    cluster.wait_for(lambda: "differ" in cluster.kubectl.tried(*prepare).stdout, "the pod is refused")


def edited(copy: Copy, rows: str) -> Copy:
    copy.write({"rows.txt": rows}).commit(rows)
    return copy


def test_the_servers_account_may_do_what_the_engine_does_and_nothing_else(
    cluster: OnCluster, namespace: str, tmp_path: Path
) -> None:
    text = charting.rendered({"argo": {"enabled": True}, "admin": {"name": ""}}, namespace)
    wanted = {"ServiceAccount", "Role", "RoleBinding"}
    cluster.kubectl.apply(*(item for item in yaml.safe_load_all(text) if item and item["kind"] in wanted))
    account = f"--as=system:serviceaccount:{namespace}:mill"

    def may(verb: str, what: str, *words: str) -> bool:
        done = cluster.kubectl.tried("auth", "can-i", verb, what, account, *(words or ("-n", namespace)))
        return done.stdout.strip() == "yes"

    allowed = {
        "workflows.argoproj.io": ("create", "get", "list", "watch", "patch"),
        "secrets": ("create", "patch", "delete"), "configmaps": ("get", "create"), "pods": ("list", "watch", "delete"),
        "serviceaccounts/refmill-stage": ("get",), "serviceaccounts/refmill-executor": ("get",),
    }  # fmt: skip
    for what, verbs in allowed.items():
        for verb in verbs:
            assert may(verb, what), f"{verb} {what}"
        assert not may(verb, what.partition("/")[0], "-n", "kube-system"), what
    assert may("get", "pods", "--subresource=log", "-n", namespace)
    refused = {
        "pods": ("create", "patch", "get"), "secrets": ("get", "list", "watch"), "serviceaccounts": ("get", "create"),
        "workflows.argoproj.io": ("delete",), "events": ("list",),
        "roles.rbac.authorization.k8s.io": ("create", "get"), "workflowtemplates.argoproj.io": ("get",),
    }  # fmt: skip
    for what, verbs in refused.items():
        for verb in verbs:
            assert not may(verb, what), f"{verb} {what}"
    assert not may("create", "pods", "--subresource=exec", "-n", namespace)
    assert not may("get", "nodes", "--all-namespaces")


def test_the_image_of_stages_has_what_a_stage_needs(
    cluster: OnCluster, namespace: str, platform_images: dict[str, str]
) -> None:
    cluster.run(
        namespace, "stage", "id -u; python3 -c 'import sys; print(sys.version_info >= (3, 8))'; git --version; uv --version",
        image=platform_images["runner"],
    )  # fmt: skip
    assert cluster.finished(namespace, "stage")["exitCode"] == 0, cluster.logs(namespace, "stage")
    said = cluster.logs(namespace, "stage").splitlines()
    assert said[:2] == ["8737", "True"]
    assert [line.split()[0] for line in said[2:]] == ["git", "uv"]
