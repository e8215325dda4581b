"""The chart on a real cluster: what the API server makes of it, and a platform that is installed, pushed to, changed,
brought back, taken away and installed again."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from clusters import OnCluster
from releases import MINUTES, RELEASE, Installed, release_in

import charting
from chart_values import VALUES
from platforms import Copy, new_copy

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]
PIPELINE = "stages:\n  count: {cmd: 'wc -l < rows.txt > count.txt && id -u', deps: [rows.txt], outs: [count.txt]}\n"
MONITORS = "servicemonitors.monitoring.coreos.com"
"""A kind that a cluster with Prometheus Operator has."""


@pytest.fixture
def installed(
    workflows: OnCluster, namespace: str, platform_images: dict[str, str], tmp_path: Path
) -> Iterator[Installed]:
    with release_in(workflows, namespace, platform_images, tmp_path / "volume") as made:
        yield made


@pytest.mark.parametrize("name", VALUES)
def test_the_api_server_takes_every_manifest(cluster: OnCluster, namespace: str, name: str) -> None:
    values, watched = VALUES[name], not cluster.kubectl.tried("get", "crd", MONITORS).returncode
    if values.get("argo", {}).get("namespace"):
        values = values | {"argo": values["argo"] | {"namespace": namespace}}
    for item in filter(None, yaml.safe_load_all(charting.rendered(values, namespace).replace("(made)", "bWFkZQ=="))):
        if item["apiVersion"].startswith("monitoring.coreos.com/") and not watched:
            continue  # kinds of Prometheus Operator, which not every cluster has
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
    installed.install(stage_memory="1Gi")
    changed = cluster.pod(installed.namespace, f"{RELEASE}-0")["metadata"]["uid"]
    assert changed != pod
    assert installed.secrets == secrets
    settings = ("get", "configmap", f"{RELEASE}-settings", "-n", installed.namespace)
    assert cluster.kubectl.data(*settings)["data"]["REFMILL_STAGE_MEMORY"] == "1Gi"
    second = installed.push(edited(copy, "1\n2\n"))
    assert (second["number"], second["status"]) == (2, "succeeded")

    installed.helm("rollback", RELEASE, "1", "--wait", f"--timeout={MINUTES}m")
    assert "REFMILL_STAGE_MEMORY" not in cluster.kubectl.data(*settings)["data"]
    assert [run["number"] for run in json.loads(installed.refmill("runs", "operator/tiny", "--json"))] == [2, 1]

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
