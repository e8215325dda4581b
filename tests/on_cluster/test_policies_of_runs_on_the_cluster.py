"""What `refmill render --installation` prints, with its network policies: the API server takes all of it as it stands, and
each pod of a run is meant by the one policy that its repository's network asks for. The test cluster enforces none."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from clusters import OnCluster
from pushing import Lead, platform_on, push_new

from cluster import network
from platforms import Platform

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
OPEN, CLOSED = "refmill-stages", "refmill-stages-without-network"
NETWORKS = (*network.RANGES, "fd00:1234::/48")


def printed(data: Path, namespace: str, **settings: str) -> str:
    """What an operator applies."""
    chosen = {"engine": "argo", "argo_namespace": namespace, "argo_pods_url": "http://refmill.test"}
    return Platform(data).choose(chosen | settings).refmill("render", "--installation")


def policies(text: str) -> dict[str, Any]:
    """Those in it, by name."""
    found = filter(None, yaml.safe_load_all(text))
    return {item["metadata"]["name"]: item["spec"] for item in found if item["kind"] == "NetworkPolicy"}


@pytest.mark.ci
@pytest.mark.parametrize("networks", [(), NETWORKS], ids=["", "networks"])
def test_the_api_server_takes_what_is_printed(
    cluster: OnCluster, namespace: str, tmp_path: Path, networks: tuple[str, ...]
) -> None:
    text = printed(tmp_path / "data", namespace, argo_networks=", ".join(networks))
    assert policies(text).keys() == {OPEN, CLOSED}
    for dry in (("--dry-run=server",), ()):
        done = cluster.kubectl.tried("apply", *dry, "--validate=strict", "-f", "-", stdin=text)
        assert (done.returncode, done.stderr) == (0, "")
    kept = cluster.kubectl.data("get", "networkpolicies", "-n", namespace)["items"]
    assert {item["metadata"]["name"]: item["spec"] for item in kept} == policies(text)
    assert "configured" not in cluster.kubectl("apply", "-f", "-", stdin=text)


def test_pods_are_meant_by_the_policy_that_their_repository_asks_for(
    workflows: OnCluster, python_image: str, namespace: str, tmp_path: Path, led: Lead
) -> None:
    chosen = {"argo_network_policy": "true", "argo_networks": ", ".join(NETWORKS)}
    with platform_on(workflows, namespace, python_image, tmp_path / "platform", **chosen) as platform:
        platform.refmill("repo", "add", "alice/closed")
        platform.refmill("repo", "change", "alice/closed", "--no-network")
        runs = {
            name: push_new(platform, name, tmp_path, {
                "dvc.yaml": f"stages:\n  work: {{cmd: python3 led.py {name}, outs: [out.txt]}}\n", **led.files,
            })
            for name in ("open", "closed")
        }  # fmt: skip
        for name in runs:
            led.wait_for(name)
        made = workflows.kubectl.data("get", "networkpolicies", "-n", namespace)["items"]
        meant = {item["metadata"]["name"]: pods(workflows, namespace, item) for item in made}
        assert meant == {OPEN: {led.pods["open"]}, CLOSED: {led.pods["closed"]}}
        for name, run in runs.items():
            led.give(name, f"echo {name} > out.txt")
            run.ended()


def pods(workflows: OnCluster, namespace: str, policy: dict[str, Any]) -> set[str]:
    """Whom a policy means: the API server chooses by labels as a network does."""
    labels = ",".join(f"{key}={value}" for key, value in policy["spec"]["podSelector"]["matchLabels"].items())
    found = workflows.kubectl.data("get", "pods", "-n", namespace, "-l", labels)["items"]
    return {pod["metadata"]["name"] for pod in found}
