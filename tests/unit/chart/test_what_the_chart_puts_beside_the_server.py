"""A PostgreSQL and an S3 store to try things out, and MLflow: what the chart makes of them, who reaches them, and that the
platform uses them."""

import base64
import fnmatch
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

import charting
from charting import objects, template
from refmill import settings
from refmill.clients.database import server_url

DATABASE: dict[str, Any] = {"database": {"trial": {"enabled": True}}}
STORE: dict[str, Any] = {"objectStore": {"trial": {"enabled": True}}}
MLFLOW: dict[str, Any] = {"mlflow": {"enabled": True}}
ALL = DATABASE | STORE | MLFLOW | {"argo": {"enabled": True, "namespace": "runs"}}
PARTS = ("database", "objects", "mlflow")
SERVER = {
    "app.kubernetes.io/name": "refmill",
    "app.kubernetes.io/instance": "mill",
    "app.kubernetes.io/component": "server",
}
RUNS = {"matchLabels": {"kubernetes.io/metadata.name": "runs"}}


def variables(values: dict[str, Any]) -> dict[str, str]:
    """What the server's settings say."""
    return objects(values)["ConfigMap", "mill-settings"]["data"]


def pod(values: dict[str, Any], name: str) -> dict[str, Any]:
    """The pod of a StatefulSet."""
    return objects(values)["StatefulSet", name]["spec"]["template"]["spec"]


def container(values: dict[str, Any], part: str) -> dict[str, Any]:
    """The only container beside the server."""
    (found,) = pod(values, f"mill-{part}")["containers"]
    return found


def told(container: dict[str, Any]) -> dict[str, Any]:
    """Its variables, or where their values come from."""
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container.get("env", [])}


def secret(values: dict[str, Any], name: str) -> dict[str, str]:
    """What a Secret holds, which is another one each time here."""
    done = template(values)
    assert done.returncode == 0, done.stderr
    (found,) = [
        item
        for item in yaml.safe_load_all(done.stdout)
        if item and (item["kind"], item["metadata"]["name"]) == ("Secret", name)
    ]
    assert found["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}


def test_without_a_word_there_is_nothing_beside_the_server() -> None:
    made = objects({"argo": {"enabled": True}})
    assert [name for kind, name in made if kind == "StatefulSet"] == ["mill"]
    assert not [name for _, name in made if name.endswith(PARTS)]


def test_the_server_uses_the_database_with_the_password_that_it_was_made_with() -> None:
    held = secret(DATABASE, "mill-database")
    address = urlsplit(held["url"])
    assert re.fullmatch("[A-Za-z0-9]{32}", held["password"])
    assert (address.username, address.password) == ("refmill", held["password"])
    assert (address.hostname, address.path) == ("mill-database.prod.svc", "/refmill")
    assert server_url(held["url"])
    server = pod(DATABASE, "mill")
    for one in (*server["initContainers"], *server["containers"]):
        assert told(one)["REFMILL_DATABASE"] == {"secretKeyRef": {"name": "mill-database", "key": "url"}}
    given = told(container(DATABASE, "database"))
    assert given["POSTGRES_PASSWORD"] == {"secretKeyRef": {"name": "mill-database", "key": "password"}}
    assert (given["POSTGRES_USER"], given["POSTGRES_DB"]) == ("refmill", "refmill")


def test_the_server_uses_the_store_with_the_key_that_it_was_made_with(tmp_path: Path) -> None:
    held = secret(STORE, "mill-objects")
    assert held["AWS_ACCESS_KEY_ID"] == "refmill"
    assert re.fullmatch("[A-Za-z0-9]{40}", held["AWS_SECRET_ACCESS_KEY"])
    keys = {key: {"secretKeyRef": {"name": "mill-objects", "key": key}} for key in held}
    server = pod(STORE, "mill")
    for one in (*server["initContainers"], *server["containers"]):
        assert keys.items() <= told(one).items()
    given = told(container(STORE, "objects"))
    assert (given["ROOT_ACCESS_KEY"], given["ROOT_SECRET_KEY"]) == tuple(keys.values())
    loaded = settings.load({"data": tmp_path}, variables(STORE))
    assert (loaded.objects, loaded.s3_create_bucket) == ("s3://refmill/objects", True)
    assert (loaded.s3_endpoint, loaded.s3_region) == ("http://mill-objects.prod.svc:7070", "us-east-1")
    assert container(STORE, "objects")["args"][-2:] == ["posix", "/data"]


def test_stages_are_told_of_mlflow_by_a_name_that_it_answers_to(tmp_path: Path) -> None:
    values = MLFLOW | {"mlflow": MLFLOW["mlflow"] | {"hosts": ["mlflow.example.org", "one:8443"]}}
    loaded = settings.load({"data": tmp_path}, variables(values))
    assert loaded.mlflow_tracking_uri == "http://mill-mlflow.prod.svc:5000"
    given = told(container(values, "mlflow"))
    allowed = given["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    for host in (
        urlsplit(loaded.mlflow_tracking_uri).netloc,
        "localhost:5000",
        "127.0.0.1:41234",
        "mlflow.example.org",
    ):
        assert [pattern for pattern in allowed if fnmatch.fnmatch(host, pattern)], host
    assert not [pattern for pattern in allowed if fnmatch.fnmatch("elsewhere.example.org", pattern)]
    assert given["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"].split(",") == [
        "https://mlflow.example.org", "https://one:8443", "http://mlflow.example.org", "http://one:8443",
    ]  # fmt: skip
    assert "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS" not in told(container(MLFLOW, "mlflow"))


def test_stages_are_told_of_an_mlflow_that_is_there_already() -> None:
    values = {"mlflow": {"uri": "https://mlflow.example.org"}}
    assert variables(values)["REFMILL_MLFLOW_TRACKING_URI"] == "https://mlflow.example.org"
    assert ("StatefulSet", "mill-mlflow") not in objects(values)
    assert "REFMILL_MLFLOW_TRACKING_URI" not in variables({})


def test_nobody_reaches_them_but_who_needs_them() -> None:
    made = objects(ALL)
    stages = {"namespaceSelector": RUNS, "podSelector": {"matchLabels": {"refmill.dev/part": "stage"}}}
    online = {"refmill.dev/part": "stage", "refmill.dev/network": "on"}
    further = {
        "database": [], "objects": [stages],
        "mlflow": [{"namespaceSelector": RUNS, "podSelector": {"matchLabels": online}}],
    }  # fmt: skip
    for part, peers in further.items():
        policy, service = made["NetworkPolicy", f"mill-{part}"]["spec"], made["Service", f"mill-{part}"]["spec"]
        (one,) = made["StatefulSet", f"mill-{part}"]["spec"]["template"]["spec"]["containers"]
        labels = made["StatefulSet", f"mill-{part}"]["spec"]["template"]["metadata"]["labels"]
        assert policy["podSelector"]["matchLabels"] == service["selector"] == labels
        (entry,) = policy["ingress"]
        assert entry["from"] == [{"podSelector": {"matchLabels": SERVER}}, *peers]
        assert (policy["policyTypes"], policy["egress"]) == (["Ingress", "Egress"], [])
        (port,) = one["ports"]
        assert (port["name"],) == tuple(item["port"] for item in entry["ports"])
        assert [(item["targetPort"], item["port"]) for item in service["ports"]] == [
            (port["name"], port["containerPort"])
        ]


def test_without_argo_the_server_alone_reaches_them_and_more_are_named_for_mlflow() -> None:
    people = {"namespaceSelector": {"matchLabels": {"a": "people"}}}
    made = objects(STORE | {"mlflow": {"enabled": True, "from": [people]}})
    server = {"podSelector": {"matchLabels": SERVER}}
    assert made["NetworkPolicy", "mill-objects"]["spec"]["ingress"][0]["from"] == [server]
    assert made["NetworkPolicy", "mill-mlflow"]["spec"]["ingress"][0]["from"] == [server, people]
    open_to_all = objects(ALL | {"networkPolicy": {"enabled": False}})
    assert {name for kind, name in open_to_all if kind == "NetworkPolicy"}.isdisjoint(
        {f"mill-{part}" for part in PARTS}
    )


def test_no_scraper_and_no_request_for_the_server_comes_to_them() -> None:
    made = objects(ALL | {"metrics": {"enabled": True, "serviceMonitor": {"enabled": True}}})
    (scraped,) = made["ServiceMonitor", "mill"]["spec"]["endpoints"]
    for part in PARTS:
        assert scraped["port"] not in {port["name"] for port in made["Service", f"mill-{part}"]["spec"]["ports"]}
        assert made["StatefulSet", f"mill-{part}"]["spec"]["template"]["metadata"]["labels"] != SERVER
    assert made["Service", "mill"]["spec"]["selector"] == SERVER


@pytest.mark.parametrize("part", PARTS)
def test_each_is_confined_as_the_restricted_level_asks(part: str) -> None:
    about = pod(ALL, f"mill-{part}")
    assert (about["automountServiceAccountToken"], about["enableServiceLinks"]) == (False, False)
    assert about["securityContext"]["runAsNonRoot"] is True
    assert about["securityContext"]["runAsUser"] == (999 if part == "database" else 8700)
    assert about["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    one = container(ALL, part)
    assert one["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert {"readinessProbe", "livenessProbe"} <= set(one)
    assert set(one["resources"]) == {"requests", "limits"}
    volumes = {mount["mountPath"]: mount["name"] for mount in one["volumeMounts"]}
    (claim,) = objects(ALL)["StatefulSet", f"mill-{part}"]["spec"]["volumeClaimTemplates"]
    assert volumes["/data"] == claim["metadata"]["name"] == "data"


def test_their_pods_names_fit_where_kubernetes_writes_them() -> None:
    made = objects(ALL | {"nameOverride": "m" * 60})
    named = [name for kind, name in made if kind == "StatefulSet"]
    assert len(named) == 1 + len(PARTS)
    assert max(map(len, named)) <= 52, "with the hash of a revision it is the value of a label"


def test_the_server_waits_for_what_it_cannot_start_without() -> None:
    script = pod(ALL, "mill")["initContainers"][0]["args"][0]
    assert re.findall(r'create_connection\(\("([^"]+)", (\d+)\)', script) == [
        ("mill-database.prod.svc", "5432"), ("mill-objects.prod.svc", "7070"),
    ]  # fmt: skip
    assert "create_connection" not in pod(MLFLOW, "mill")["initContainers"][0]["args"][0]


def test_standbys_may_have_their_lease_in_the_database_on_trial() -> None:
    shared = {"replicas": 2, "storage": {"existingClaim": "shared", "accessModes": ["ReadWriteMany"]}}
    made = objects(shared | DATABASE)
    assert made["Deployment", "mill"]["spec"]["replicas"] == 2


@pytest.mark.parametrize(("values", "complaint"), [
    ({"database": {"secret": "mine", "trial": {"enabled": True}}}, "database.secret names a database that is there already"),
    ({"objectStore": {"bucket": "s3://a/b", "trial": {"enabled": True}}}, "objectStore.bucket is about a store"),
    ({"objectStore": {"secret": "mine", "trial": {"enabled": True}}}, "objectStore.secret is about a store"),
    ({"objectStore": {"ca": "mine", "trial": {"enabled": True}}}, "objectStore.ca is about a store"),
    ({"mlflow": {"enabled": True, "uri": "https://mlflow.example.org"}}, "mlflow.uri names an MLflow that is there already"),
    ({"mlflow": {"uri": "mlflow.example.org"}}, "/mlflow/uri"),
    ({"settings": {"mlflow_tracking_uri": "https://mlflow.example.org"}}, "'mlflow_tracking_uri' not allowed"),
    ({"database": {"trial": {"enabled": True, "user": 0}}}, "/database/trial/user"),
    ({"objectStore": {"trial": {"size": "much"}}}, "/objectStore/trial/size"),
])  # fmt: skip
def test_what_cannot_be_is_refused_with_the_reason(values: dict[str, Any], complaint: str) -> None:
    done = template(values)
    assert done.returncode != 0
    assert complaint in done.stderr


def test_people_are_told_that_it_is_for_trials_and_where_mlflow_is(tmp_path: Path) -> None:
    notes = charting.notes(ALL, tmp_path)
    assert "kubectl port-forward service/mill-mlflow 5000:5000 -n prod" in notes
    assert "nobody backs it up" in notes
    assert "nobody backs it up" not in charting.notes({}, tmp_path)
