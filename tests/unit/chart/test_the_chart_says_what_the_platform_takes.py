"""What the chart makes is what the platform reads, and what it cannot make it refuses with the reason."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import chart
import charting
from chart_values import VALUES
from charting import objects, template
from refmill import __version__, settings
from refmill.clients.database.accounts import check_name
from refmill_argo import inspecting, manifests
from refmill_argo.options import Options, options
from refmill_web.places import RESERVED

ALL = {
    "ingress": {"enabled": True, "host": "refmill.example.org", "tlsSecret": "certificate"},
    "objectStore": {"bucket": "s3://data/refmill", "endpoint": "https://s3.example.org", "secret": "key", "ca": "ca"},
    "argo": {"enabled": True, "namespace": "runs", "networks": ["10.0.0.0/8", "fd00::/8"]},
    "settings": {"push_refs": 5_000_000, "cpus": 2.5, "network": False, "stage_memory": 1 << 34, "experiment_days": 0.5},
}  # fmt: skip


def variables(values: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = objects(values)["ConfigMap", "mill-settings"]["data"]
    return found


def containers(values: dict[str, Any]) -> list[dict[str, Any]]:
    pod = objects(values)["StatefulSet", "mill"]["spec"]["template"]["spec"]
    return [*pod["initContainers"], *pod["containers"]]


def test_the_platform_reads_all_that_the_chart_sets(tmp_path: Path) -> None:
    told = variables(ALL)
    loaded = settings.load({"data": tmp_path}, told)
    known = {variable for variable, _ in settings.names().values()}
    assert {name for name in told if name.startswith("REFMILL_")} <= known
    assert (loaded.host, loaded.port, loaded.url) == ("0.0.0.0", 8700, "https://refmill.example.org")
    assert (loaded.objects, loaded.s3_endpoint) == ("s3://data/refmill", "https://s3.example.org")
    assert (loaded.push_refs, loaded.cpus, loaded.network) == (5_000_000, 2.5, False)
    assert (loaded.stage_memory, loaded.experiment_days) == (str(1 << 34), 0.5)
    assert loaded.argo_namespace == "runs"
    assert options(loaded, "f" * 64).server == "http://mill.prod.svc:80"


@pytest.mark.parametrize("values", [
    {"enabled": True},
    {"enabled": True, "namespace": "runs", "networks": ["10.0.0.0/8", "fd00::/8"]},
    {"enabled": True, "account": "stages", "executorAccount": "executors", "networkPolicy": False},
])  # fmt: skip
def test_what_runs_need_is_what_the_platform_would_make(values: dict[str, Any], tmp_path: Path) -> None:
    loaded = settings.load({"data": tmp_path}, variables({"argo": values}))
    wanted = list(named(manifests.installation(options(loaded, "f" * 64))))
    assert len(wanted) >= 5
    made = dict(named(charting.rendered({"argo": values})))
    for name, item in wanted:
        assert made[name] == item
    others = {"mill", "mill-settings", "mill-encryption", "mill-admin", "mill-server"}
    assert {name for _, name in made} - others == {name for (_, name), _ in wanted}


def named(text: str) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    """The objects without their labels: those of a release are helm's."""
    for item in yaml.safe_load_all(text):
        del item["metadata"]["labels"]
        yield (item["kind"], item["metadata"]["name"]), item


def test_with_argo_runs_go_there_unless_the_settings_say_otherwise() -> None:
    assert variables({"argo": {"enabled": True}})["REFMILL_ENGINE"] == "argo"
    assert variables({"argo": {"enabled": True}, "settings": {"engine": "local"}})["REFMILL_ENGINE"] == "local"
    assert "REFMILL_ENGINE" not in variables({})


def test_without_argo_the_server_has_no_token_and_no_rights() -> None:
    made = objects({})
    assert {kind for kind, _ in made}.isdisjoint({"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"})
    assert made["StatefulSet", "mill"]["spec"]["template"]["spec"]["automountServiceAccountToken"] is False


def test_the_servers_rights_are_in_the_namespace_of_runs_alone() -> None:
    made = objects(ALL)
    assert {kind for kind, _ in made}.isdisjoint({"ClusterRole", "ClusterRoleBinding"})
    role = made["Role", "mill-server"]
    assert role["metadata"]["namespace"] == "runs"
    verbs = {(rule["apiGroups"][0], name): tuple(rule["verbs"]) for rule in role["rules"] for name in rule["resources"]}
    looks = {("", "serviceaccounts"): ("get",)}
    engine = {(group, f"{kind}/{sub}" if sub else kind): does for group, kind, sub, does in inspecting.RIGHTS}
    assert verbs == engine | looks
    assert made["RoleBinding", "mill-server"]["subjects"] == [
        {"kind": "ServiceAccount", "name": "mill", "namespace": "prod"}
    ]


def test_with_an_argo_server_its_own_token_may_set_points_there() -> None:
    mounted = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    values = {"argo": {"enabled": True}, "settings": {"argo_server": "https://argo", "argo_server_token": mounted}}
    (workflows,) = (r for r in objects(values)["Role", "mill-server"]["rules"] if r["resources"] == ["workflows"])
    assert set(workflows["verbs"]) == {*inspecting.RIGHTS[0][3], "update"}
    assert variables(values)["REFMILL_ARGO_SERVER_TOKEN"] == mounted


def test_containers_are_confined_as_the_restricted_level_asks() -> None:
    pod = objects(ALL)["StatefulSet", "mill"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(ALL):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip


def test_a_proxy_with_a_password_comes_out_of_a_secret_and_one_without_stands_in_the_settings() -> None:
    wanted = {"name": "REFMILL_ARGO_PROXY", "valueFrom": {"secretKeyRef": {"name": "mine", "key": "url"}}}
    for container in containers({"argo": {"proxy": {"secret": "mine"}}}):
        assert container["env"] == [wanted]
    assert variables({"settings": {"argo_proxy": "http://proxy:3128"}})["REFMILL_ARGO_PROXY"] == "http://proxy:3128"


def test_services_of_the_namespace_are_no_settings() -> None:
    # A Service that is called refmill would set REFMILL_PORT=tcp://…
    pod = objects({})["StatefulSet", "mill"]["spec"]["template"]["spec"]
    assert pod["enableServiceLinks"] is False


def test_of_several_servers_all_but_one_stand_by() -> None:
    values = VALUES["standbys"]
    made = objects(values)
    spec = made["Deployment", "mill"]["spec"]
    assert ("StatefulSet", "mill") not in made
    assert spec["replicas"] == 2
    volumes = {volume["name"]: volume for volume in spec["template"]["spec"]["volumes"]}
    assert volumes["data"]["persistentVolumeClaim"] == {"claimName": "shared"}
    assert variables(values)["REFMILL_STANDBY"] == "true"
    assert "REFMILL_STANDBY" not in variables({})
    probes = spec["template"]["spec"]["containers"][0]
    assert probes["livenessProbe"]["httpGet"]["path"] == probes["startupProbe"]["httpGet"]["path"] == "/healthz"
    assert probes["readinessProbe"]["httpGet"]["path"] == "/readyz"
    selector = made["PodDisruptionBudget", "mill"]["spec"]["selector"]
    assert selector == made["Deployment", "mill"]["spec"]["selector"]
    one = containers({})[0]["args"][0]
    many = spec["template"]["spec"]["initContainers"][0]["args"][0]
    assert "address.json" in many
    assert "address.json" not in one


def test_the_key_that_is_made_is_one_and_is_kept() -> None:
    done = template({})
    secret = next(
        item for item in yaml.safe_load_all(done.stdout) if item["metadata"]["name"] == "mill-encryption"
    )  # fmt: skip
    key = base64.b64decode(secret["data"]["secrets.key"])
    assert re.fullmatch(rb"[A-Za-z0-9_-]{43}=", key)
    assert secret["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


@pytest.mark.parametrize(("values", "complaint"), [
    ({"replicas": 2}, "storage.existingClaim"),
    ({"replicas": 2, "storage": {"existingClaim": "shared"}}, "storage.accessModes [ReadWriteMany]"),
    ({"replicas": 2, "storage": {"accessModes": ["ReadWriteMany"]}}, "storage.existingClaim"),
    ({"replicas": 2, "storage": {"existingClaim": "shared", "accessModes": ["ReadWriteMany"]}}, "database.secret"),
    ({"settings": {"standby": True}}, "'standby' not allowed"),
    ({"ingress": {"enabled": True}}, "the ingress needs the name in people's addresses"),
    ({"objectStore": {"secret": "key"}}, "a key for an S3 store is given, but no bucket"),
    ({"settings": {"colour": "red"}}, "'colour' not allowed"),
    ({"settings": {"port": 80}}, "'port' not allowed"),
    ({"settings": {"sandbox": "perhaps"}}, "/settings/sandbox"),
    ({"settings": {"threads": 0}}, "/settings/threads"),
    ({"settings": {"network": "no"}}, "/settings/network"),
    ({"argo": {"networks": ["everywhere"]}}, "/argo/networks/0"),
    ({"settings": {"argo_proxy": "http://mill:word@proxy:3128"}}, "/settings/argo_proxy"),
    ({"url": "refmill.example.org"}, "/url"),
    ({"colour": "red"}, "'colour' not allowed"),
])  # fmt: skip
def test_what_cannot_be_is_refused_with_the_reason(values: dict[str, Any], complaint: str) -> None:
    done = template(values)
    assert done.returncode != 0
    assert complaint in done.stderr


def test_values_that_are_kept_are_those_of_the_table() -> None:
    assert yaml.safe_load((charting.CHART / "values.yaml").read_text(encoding="utf-8")) == chart.defaults()


def test_the_first_account_may_be_called_so() -> None:
    check_name(chart.defaults()["admin"]["name"], RESERVED)


def test_the_chart_is_of_the_same_version() -> None:
    about = yaml.safe_load((charting.CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (about["version"], about["appVersion"]) == (__version__, __version__)


def test_the_image_of_stages_has_the_user_whom_the_setting_names() -> None:
    dockerfile = (charting.ROOT / "Dockerfile").read_text(encoding="utf-8")
    user = Options(server="", runner="").user
    assert f"useradd --uid {user} --gid {user}" in dockerfile


def test_what_people_are_told_names_what_is_made(tmp_path: Path) -> None:
    notes = charting.notes({}, tmp_path)
    assert "kubectl port-forward service/mill 8700:80 -n prod" in notes
    assert "kubectl get secret mill-admin -n prod" in notes
    assert '{{index .data "password" | base64decode}}' in notes


@pytest.mark.parametrize("page", ["operator-guide.md", "operator-guide.zh-CN.md"])
def test_the_values_of_the_guide_are_taken_and_name_the_secrets_that_it_makes(page: str) -> None:
    guide = (charting.ROOT / "docs" / page).read_text(encoding="utf-8")
    shown = re.search(r"^```yaml\n(image: .*?)^```", guide, re.MULTILINE | re.DOTALL)
    assert shown is not None
    values = yaml.safe_load(shown[1])
    made = set(re.findall(r"create secret generic (\S+) -n refmill", guide))
    text = charting.rendered(values, "refmill")
    assert made == {values[name]["secret"] for name in ("encryption", "admin", "database", "objectStore")}
    assert all(name in text for name in made)


@pytest.mark.parametrize("page", ["operator-guide.md", "operator-guide.zh-CN.md"])
def test_what_the_pages_set_is_taken(page: str) -> None:
    text = (charting.ROOT / "docs" / page).read_text(encoding="utf-8")
    lines = re.findall(r"^helm upgrade .*$", text, re.MULTILINE)
    assert any("--set maintenance=true" in line for line in lines)
    said: list[str] = []
    for line in lines:
        pairs = re.findall(r"--set (\S+=\S+)", line)
        said = [*(said if "--reuse-values" in line else ()), *(word for pair in pairs for word in ("--set", pair))]
        assert template({}, *said).returncode == 0, line
