"""What the Helm chart can be told: from this one table come values.yaml, values.schema.json and docs/chart.md.

`make docs` writes them (tools/reference.py); the settings of the platform are taken from the platform.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from refmill.settings import SECRET, Settings

CHART = "charts/refmill"
NOTE = "Written by `make docs` from tools/chart.py; change it there."
NAME = r"^$|^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"
"""What Kubernetes takes as a name, or nothing."""
SCHEMA_WORDS = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
BY_CHART = {
    "data": "storage", "host": "", "port": "", "url": "url", "database": "database", "objects": "objectStore.bucket",
    "s3_endpoint": "objectStore.endpoint", "s3_region": "objectStore.region", "s3_credentials": "objectStore.secret",
    "s3_ca": "objectStore.ca", "argo_namespace": "argo.namespace", "argo_account": "argo.account",
    "argo_executor_account": "argo.executorAccount", "argo_network_policy": "argo.networkPolicy",
    "argo_networks": "argo.networks", "metrics": "metrics.enabled", "metrics_token": "metrics.secret",
    "standby": "replicas", "mlflow_tracking_uri": "mlflow",
}  # fmt: skip
"""Settings that other values decide, and which ("": the chart itself)."""
DEFAULTS = {item.name: item.default for item in dataclasses.fields(Settings)}


@dataclass(frozen=True, slots=True)
class Value:
    """One value: its default decides its type; `schema` says what else must hold."""

    default: Any
    help: str
    schema: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """Values that belong together."""

    help: str
    values: Mapping[str, Value | Group]


Tree: TypeAlias = Mapping[str, Value | Group]


def _names(default: str, words: str) -> Value:
    return Value(default, words, {"pattern": NAME})


def _words(words: str) -> Value:
    return Value({}, words, {"additionalProperties": {"type": "string"}})


def _size(default: str, words: str) -> Value:
    return Value(default, words, {"pattern": r"^[0-9.]+([KMGTPE]i?|[kmgtpe])?$"})


def _beside(what: str, image: Value, size: str, memory: tuple[str, str], **more: Value) -> dict[str, Value]:
    """The values of a pod that the chart puts beside the server; `memory` is what it asks for and may not pass."""
    asked, most = memory
    return {
        "enabled": Value(False, what),
        "image": image,
        **more,
        "size": _size(size, "How large its volume is, of `storage.className`; it stays when the release goes."),
        "resources": Value(
            {"requests": {"cpu": "100m", "memory": asked}, "limits": {"memory": most}},
            "What its pod asks for, and what it may not pass.",
        ),
    }  # fmt: skip


def _settings() -> Value:
    """The platform's settings, each with its type and bounds, but for those that other values decide."""
    properties = {}
    for item in dataclasses.fields(Settings):
        if item.name in BY_CHART:
            continue
        kind = type(item.default)
        schema: dict[str, Any] = {"type": SCHEMA_WORDS[kind], "description": str(item.metadata["help"])}
        if kind in (int, float):
            schema["minimum"] = item.metadata["least"]
            if item.metadata["most"] is not None:
                schema["maximum"] = item.metadata["most"]
        if item.metadata["choices"]:
            schema["enum"] = list(item.metadata["choices"])
        if item.metadata["unit"] == "bytes":
            schema["type"] = ["string", "integer"]
        if item.metadata["unit"] in SECRET:
            schema["pattern"] = "^[^@]*$"  # no ConfigMap holds a password
        properties[item.name] = schema
    words = "Settings of the platform by their keys ([settings.md](settings.md)), like `stage_memory: 4Gi`. The schema"
    words += " knows all of them but those that other values decide."
    return Value({}, words, {"properties": properties, "additionalProperties": False})


TREE: Tree = {
    "nameOverride": _names("", "Name of the objects instead of the release's."),
    "image": Group("The platform's image: `docker build .` in the checkout makes it.", {
        "repository": Value("refmill", "Where it lies, with the registry's name."),
        "tag": Value("", "Its tag; empty takes the chart's `appVersion`.", {"type": ["string", "integer"]}),
        "pullPolicy": Value("IfNotPresent", "When it is pulled.", {"enum": ["IfNotPresent", "Always", "Never"]}),
        "pullSecrets": Value(
            [], "Names of Secrets that it is pulled with, as is all beside the server.", {"items": {"type": "string"}}
        ),
    }),
    "replicas": Value(
        1,
        "1, or 0 while a backup is brought back. With more, one of them works and the others are standbys that take"
        " over: for that they need `storage.existingClaim` with `storage.accessModes: [ReadWriteMany]`, and"
        " `database.secret` (or `database.trial`). That is no scale, so there is no HorizontalPodAutoscaler; compute"
        " scales with `argo` ([scale.md](scale.md)).",
        {"minimum": 0},
    ),
    "maintenance": Value(
        False,
        "Whether one pod, whatever `replicas` says, has all that a server has and no platform works in it: for `refmill"
        " gc`, `refmill repo reindex` and files of a backup, by `kubectl exec`. The Service leads nowhere meanwhile"
        " ([operator guide](operator-guide.md#on-a-cluster)).",
    ),
    "url": Value(
        "", "Address under which people reach the platform; empty takes the host of the ingress.",
        {"pattern": r"^$|^https?://[^/\s?#]+"},
    ),
    "settings": _settings(),
    "resources": Group("What the server's pod asks for. Stages of the local engine run in it, too.", {
        "requests": Value({"cpu": "500m", "memory": "1Gi"}, "What is kept for it."),
        "limits": Value({"memory": "4Gi"}, "What it may not pass; stages share four fifths of the memory."),
    }),
    "storage": Group("The volume with repositories, database and objects.", {
        "size": _size("50Gi", "How large it is made."),
        "className": Value("", "Its storage class; empty takes the cluster's default, `-` takes none."),
        "accessModes": Value(
            ["ReadWriteOnce"], "How it is mounted; of a claim that is there already, what it says.",
            {"items": {"type": "string"}, "minItems": 1},
        ),
        "existingClaim": _names("", "Name of a claim that is there already, instead of one that the chart makes."),
        "temporarySize": Value("10Gi", "How much may lie in `/tmp`, which ends with the pod."),
    }),
    "encryption": Group("The key of repositories' secrets. Whoever loses it loses them.", {
        "secret": _names(
            "", "Name of a Secret of yours with it; else the chart makes one and never changes or removes it."
        ),
        "key": Value("secrets.key", "Its key in that Secret."),
    }),
    "admin": Group("The first account, made where there is none yet.", {
        "name": Value("operator", "Its name; empty makes none."),
        "secret": _names("", "Name of a Secret of yours with its password; else the chart makes one."),
        "key": Value("password", "The password's key in that Secret."),
    }),
    "database": Group("A PostgreSQL or MariaDB that is there already; else SQLite on the volume.", {
        "secret": _names("", "Name of the Secret with its address, as the setting `database` has it."),
        "key": Value("url", "The address' key in that Secret."),
        "trial": Group("A PostgreSQL to try things out: one pod with one volume, which nobody backs up.", _beside(
            "Whether there is one, instead of `database.secret`. Its password is made once and kept.",
            Value("postgres:17", "The official image; another major version does not open this one's volume."),
            "5Gi", ("256Mi", "1Gi"),
            user=Value(999, "Number of the image's user `postgres`: 70 in those of Alpine.", {"minimum": 1}),
        )),
    }),
    "objectStore": Group("An S3 store that is there already; else the volume.", {
        "bucket": Value("", "Where objects are kept: s3://BUCKET/PREFIX.", {"pattern": "^$|^s3://"}),
        "endpoint": Value(
            DEFAULTS["s3_endpoint"], "Its address, without a path.", {"pattern": r"^https?://[^/\s?#]+"}
        ),
        "region": Value("", "Region of the bucket; empty asks the store."),
        "secret": _names(
            "", "Name of the Secret with `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`; empty takes the pod's role."
        ),
        "ca": _names("", "Name of a ConfigMap with `ca.crt`: the authority of the store's certificate."),
        "trial": Group("An S3 store to try things out: one pod with one volume, which nobody backs up.", _beside(
            "Whether there is one, instead of `objectStore.bucket`. Its key is made once and kept.",
            Value(
                "versity/versitygw:v1.8.0",
                "An image of versitygw; it needs a volume with extended attributes, which NFS often lacks.",
            ),
            "50Gi", ("256Mi", "1Gi"),
        )),
    }),
    "mlflow": Group("Where stages that have the network find MLflow.", {
        "uri": Value(
            "", "Address of a tracking server that is there already, without a password.",
            {"pattern": r"^$|^https?://[^/\s?#]+"},
        ),
        **_beside(
            "Whether there is one here: one pod with SQLite and artifacts on one volume. It knows no users: whoever"
            " reaches it, as all stages do that have the network, may read, change and delete all that is there.",
            Value("ghcr.io/mlflow/mlflow:v3.16.1", "The official image, or one that has `mlflow` in its `PATH`."),
            "20Gi", ("1Gi", "2Gi"),  # two workers of 3.16 take one at rest, and 1.3 at the start
            hosts=Value(
                [], "More names under which people reach it, each with its port if that is not the usual one. An"
                " Ingress to it, which asks for a password, is yours to make.", {"items": {"type": "string"}},
            ),
        ),
        "from": Value(
            [], "Peers that may reach it, as Kubernetes writes them, beside the server and stages that have the"
            " network.", {"items": {"type": "object"}},
        ),
    }),
    "service": Group("The Service before the server.", {
        "type": Value("ClusterIP", "Its type.", {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]}),
        "port": Value(80, "Its port.", {"minimum": 1, "maximum": 65535}),
        "annotations": _words("Its annotations."),
    }),
    "ingress": Group("How people reach it from outside.", {
        "enabled": Value(False, "Whether there is an Ingress."),
        "className": Value("nginx", "Its class; for nginx the annotations for large bodies and long requests are set."),
        "host": Value("", "The name in people's addresses; must be given."),
        "tlsSecret": _names("", "Name of the Secret with the certificate; empty is without TLS."),
        "proxies": Value(
            "*", "Networks from which the word that a request came over TLS is believed; `*` is all of them."
        ),
        "annotations": _words("More annotations; they win over those of the chart."),
    }),
    "podDisruptionBudget": Group("For whoever drains nodes.", {
        "enabled": Value(
            False, "Whether the node of the pod that works may only be drained after that pod was moved by hand."
        ),
    }),
    "networkPolicy": Group("Who reaches the server; the cluster's network must enforce such policies.", {
        "enabled": Value(
            True, "Whether there is one: to the server's port alone, and from it not to node credentials, unless a"
            " bucket without `objectStore.secret` has it ask for the pod's role, which is told at such an address"
            " (169.254.0.0/16). Each part that the chart puts beside it has one, too, and reaches nothing itself."
        ),
        "from": Value([], "Peers that may reach it, as Kubernetes writes them; empty is everybody.",
                      {"items": {"type": "object"}}),
    }),
    "metrics": Group("Figures for Prometheus ([metrics.md](metrics.md)).", {
        "enabled": Value(False, "Whether the server answers at `/metrics`, to whoever brings the token."),
        "secret": _names("", "Name of a Secret of yours with the token; else the chart makes one."),
        "key": Value("token", "The token's key in that Secret."),
        "from": Value(
            [], "Peers that may scrape, as Kubernetes writes them, beside those of `networkPolicy.from` (if that is"
            " empty, everybody reaches the server).", {"items": {"type": "object"}},
        ),
        "serviceMonitor": Group("For Prometheus Operator: that the server is scraped.", {
            "enabled": Value(False, "Whether there is a ServiceMonitor."),
            "interval": Value("30s", "How often.", {"pattern": "^[0-9]+(ms|s|m)$"}),
            "labels": _words("Its labels, as far as your Prometheus chooses by them."),
        }),
        "rules": Group("For Prometheus Operator: the alerts of `files/alerts.yaml`.", {
            "enabled": Value(False, "Whether there is a PrometheusRule."),
            "labels": _words("Its labels, as far as your Prometheus chooses by them."),
        }),
        "dashboard": Group("For Grafana's sidecar: the dashboard of `files/dashboard.json`.", {
            "enabled": Value(False, "Whether there is a ConfigMap with it."),
            "labels": Value(
                {"grafana_dashboard": "1"}, "Its labels, by which the sidecar finds it.",
                {"additionalProperties": {"type": "string"}},
            ),
            "annotations": _words("Its annotations, as for a folder."),
        }),
    }),
    "argo": Group("What runs on Argo Workflows need.", {
        "enabled": Value(
            False,
            "Whether runs go there (but for `settings.engine: local`), and the chart makes the server's rights, the"
            " accounts and policies of runs.",
        ),
        "namespace": _names("", "Namespace of runs, which must be there; empty is the release's."),
        "account": Value(DEFAULTS["argo_account"], "Account of stages, which has no rights.", {"pattern": NAME}),
        "executorAccount": Value(
            DEFAULTS["argo_executor_account"], "Account of Argo's own containers in a pod.", {"pattern": NAME}
        ),
        "networkPolicy": Value(DEFAULTS["argo_network_policy"], "Whether policies close in the pods of stages."),
        "networks": Value(
            [], "Networks (CIDR) with the API server, the platform and the objects, for stages without network.",
            {"items": {"type": "string", "pattern": "^[0-9a-fA-F:.]+/[0-9]+$"}},
        ),
        "proxy": Group("A proxy that asks for a password; one without may stand in `settings.argo_proxy`.", {
            "secret": _names("", "Name of the Secret with its address, as the setting `argo_proxy` has it."),
            "key": Value("url", "The address' key in that Secret."),
        }),
    }),
    "serviceAccount": Group("The server's account.", {
        "annotations": _words("Its annotations, as for a role at a cloud."),
    }),
    "pod": Group("Where the server's pod runs.", {
        "annotations": _words("Its annotations."),
        "labels": _words("More labels."),
        "nodeSelector": _words("Labels of its node."),
        "tolerations": Value([], "Taints that it tolerates.", {"items": {"type": "object"}}),
        "affinity": Value({}, "Its affinity."),
        "priorityClassName": Value("", "Its priority class."),
    }),
}  # fmt: skip


def defaults(tree: Tree = TREE) -> dict[str, Any]:
    """The values as they are where nothing is said."""
    return {name: item.default if isinstance(item, Value) else defaults(item.values) for name, item in tree.items()}


def values_yaml() -> str:
    """values.yaml."""
    return "\n".join([f"# {NOTE}", "# All values with their meaning: docs/chart.md", *_yaml(TREE, "")]) + "\n"


def _yaml(tree: Tree, indent: str) -> Iterator[str]:
    for name, item in tree.items():
        if not indent:
            yield ""
        yield f"{indent}# {_plain(item.help)}"
        if isinstance(item, Group):
            yield f"{indent}{name}:"
            yield from _yaml(item.values, indent + "  ")
        else:
            yield f"{indent}{name}: {json.dumps(item.default)}"


def _plain(words: str) -> str:
    """Without the links of Markdown."""
    return re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", words)


def schema_json() -> str:
    """values.schema.json: wrong types and unknown values are refused before anything is made."""
    whole = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the chart refmill"}
    return json.dumps(whole | _object(TREE, {"global": {"type": "object"}}), indent=2) + "\n"


def _object(tree: Tree, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    properties = {name: _schema(item) for name, item in tree.items()} | dict(more or {})
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _schema(item: Value | Group) -> dict[str, Any]:
    about = {"description": _plain(item.help)}
    if isinstance(item, Group):
        return about | _object(item.values)
    return about | {"type": SCHEMA_WORDS[type(item.default)], **item.schema}


def page() -> str:
    """docs/chart.md."""
    lines = [
        "# Values of the chart", "", f"<!-- {NOTE} -->", "",
        "What `helm install` takes, by `--set` or in a file for `--values`. How it is installed stands in the",
        "[operator guide](operator-guide.md).", "", "| Value | Default | Meaning |", "|---|---|---|",
        *_rows(TREE, ""), "", "## Settings that other values decide", "", "| Setting | Decided by |", "|---|---|",
    ]  # fmt: skip
    lines += [f"| `{name}` | {f'`{value}`' if value else 'the chart'} |" for name, value in BY_CHART.items()]
    return "\n".join([*lines, ""])


def _rows(tree: Tree, before: str) -> Iterator[str]:
    for name, item in tree.items():
        if isinstance(item, Group):
            yield f"| **`{before}{name}`** | | {item.help} |"
            yield from _rows(item.values, f"{before}{name}.")
        else:
            default = f"`{json.dumps(item.default)}`" if item.default not in ("", [], {}) else "empty"
            yield f"| `{before}{name}` | {default} | {item.help} |".replace("||", "| |")
