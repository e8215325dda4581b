"""A release in maintenance: one pod with all that a server has, in which none works and which nobody reaches."""

from pathlib import Path
from typing import Any

import pytest

import charting
from chart_values import VALUES
from charting import objects

STANDBYS = VALUES["standbys"]


def server(values: dict[str, Any]) -> dict[str, Any]:
    """What is said of the server's pods."""
    specs = [item["spec"] for (kind, _), item in objects(values).items() if kind in {"StatefulSet", "Deployment"}]
    (found,) = (spec for spec in specs if spec["selector"]["matchLabels"]["app.kubernetes.io/component"] == "server")
    spec: dict[str, Any] = found
    return spec


def pod(values: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = server(values)["template"]["spec"]
    return found


@pytest.mark.parametrize("name", [name for name in VALUES if "maintenance" not in VALUES[name]])
def test_commands_find_all_that_the_server_has(name: str) -> None:
    values = VALUES[name]
    (works,), (waits,) = pod(values)["containers"], pod(values | {"maintenance": True})["containers"]
    of_the_platform = {"args", "ports", "startupProbe", "livenessProbe", "readinessProbe"}
    assert {key: works[key] for key in works.keys() - of_the_platform} == {
        key: waits[key] for key in waits.keys() - {"command", "args"}
    }
    around = {"containers", "initContainers"}
    assert {key: item for key, item in pod(values).items() if key not in around} == {
        key: item for key, item in pod(values | {"maintenance": True}).items() if key not in around
    }
    assert variables(values) == variables(values | {"maintenance": True})


def variables(values: dict[str, Any]) -> dict[str, str]:
    (found,) = (item["data"] for (kind, name), item in objects(values).items() if name.endswith("-settings"))
    return found


@pytest.mark.parametrize("values", [{}, STANDBYS])
def test_no_platform_is_started_and_nothing_is_made_on_the_volume(values: dict[str, Any]) -> None:
    spec = pod(values | {"maintenance": True})
    (container,) = spec["containers"]
    # Into an empty volume a backup is brought back: neither key nor account may be there before it.
    assert "initContainers" not in spec
    assert not [key for key in container if key.endswith("Probe")]
    assert container["command"][:2] == ["tini", "--"]  # it hands SIGTERM on, which ends what waits
    assert container["args"][-1].rstrip().endswith("\nexec sleep infinity")


@pytest.mark.parametrize("values", [{}, STANDBYS, VALUES["on-trial"]])
def test_no_service_leads_to_the_pod(values: dict[str, Any]) -> None:
    values = values | {"maintenance": True}
    (container,) = pod(values)["containers"]
    assert "ports" not in container
    labels = server(values)["template"]["metadata"]["labels"].items()
    services = [item for (kind, _), item in objects(values).items() if kind == "Service"]
    assert services
    for service in services:
        assert not service["spec"]["selector"].items() <= labels, service["metadata"]["name"]


@pytest.mark.parametrize("values", [{}, {"replicas": 0}, STANDBYS, STANDBYS | {"replicas": 5}])
def test_it_is_one_pod_and_all_servers_have_ended_before(values: dict[str, Any]) -> None:
    spec = server(values | {"maintenance": True})
    assert spec["replicas"] == 1
    assert spec["selector"] == server(values)["selector"]  # which Kubernetes lets nobody change
    if "serviceName" not in spec:  # a StatefulSet replaces its pods one after the other as it is
        assert spec["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize(("values", "pods"), [({}, "statefulset/mill"), (STANDBYS, "deployment/mill")])
def test_people_are_told_how_to_run_commands_and_how_to_go_back(
    values: dict[str, Any], pods: str, tmp_path: Path
) -> None:
    notes = charting.notes(values | {"maintenance": True}, tmp_path)
    assert f"kubectl rollout status {pods} -n prod" in notes
    assert f"kubectl exec -it {pods} -n prod -- refmill gc --dry-run" in notes
    assert "--reuse-values --set maintenance=false" in notes
    assert "port-forward" not in notes


def test_a_release_that_does_not_know_of_it_is_upgraded_with_its_values() -> None:
    # --reuse-values leaves out what only the newer chart has.
    assert charting.rendered({"maintenance": None}) == charting.rendered({})
