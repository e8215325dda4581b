"""Values as operators have them, by name."""

from typing import Any

EVERYTHING: dict[str, Any] = {
    "url": "https://refmill.example.org",
    "image": {"repository": "images.example.org/refmill", "tag": "7", "pullPolicy": "Always", "pullSecrets": ["pull"]},
    "settings": {
        "stage_memory": "4Gi", "push_refs": 5000000, "network": False, "cpus": 2.5, "language": "zh",
        "argo_nodes": "pool=*", "argo_ttl": 604800,
    },
    "storage": {"size": "1Ti", "className": "-", "accessModes": ["ReadWriteOncePod"]},
    "encryption": {"secret": "my-key", "key": "fernet"},
    "admin": {"name": "ada", "secret": "my-password", "key": "word"},
    "database": {"secret": "postgres", "key": "address"},
    "objectStore": {
        "bucket": "s3://data/refmill", "endpoint": "https://s3.example.org", "region": "eu", "secret": "s3-key", "ca": "s3-ca",
    },
    "mlflow": {"uri": "https://mlflow.example.org"},
    "service": {"type": "LoadBalancer", "port": 8080, "annotations": {"example.org/pool": "inside"}},
    "ingress": {
        "enabled": True, "host": "refmill.example.org", "tlsSecret": "certificate", "proxies": "10.0.0.0/8",
        "annotations": {"nginx.ingress.kubernetes.io/proxy-read-timeout": "60", "example.org/a": "b"},
    },
    "podDisruptionBudget": {"enabled": True},
    "networkPolicy": {
        "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}],
    },
    "metrics": {"enabled": True, "secret": "my-token", "key": "bearer", "from": [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}},
    ]},
    "argo": {
        "enabled": True, "namespace": "runs", "networks": ["10.0.0.0/8", "fd00::/8"],
        "proxy": {"secret": "my-proxy", "key": "address"},
    },
    "serviceAccount": {"annotations": {"example.org/role": "refmill"}},
    "pod": {
        "annotations": {"example.org/a": "b"}, "labels": {"team": "ml"}, "nodeSelector": {"pool": "servers"},
        "tolerations": [{"key": "servers", "operator": "Exists"}], "priorityClassName": "high",
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}},
        ]}},
    },
}  # fmt: skip

VALUES: dict[str, dict[str, Any]] = {
    "nothing-said": {},
    "everything": EVERYTHING,
    "argo-in-one-namespace": {"argo": {"enabled": True}},
    "bucket-by-role": {"objectStore": {"bucket": "s3://data/refmill"}, "serviceAccount": {"annotations": {"a/b": "c"}}},
    "watched": {"metrics": {
        "enabled": True, "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "rules": {"enabled": True},
    }},
    "standbys": {
        "replicas": 2, "storage": {"existingClaim": "shared", "accessModes": ["ReadWriteMany"]},
        "database": {"secret": "postgres"}, "settings": {"lease_seconds": 20}, "podDisruptionBudget": {"enabled": True},
        "metrics": {"enabled": True, "serviceMonitor": {"enabled": True}},
    },
    "on-trial": {
        "database": {"trial": {"enabled": True, "image": "postgres:17-alpine", "user": 70}},
        "objectStore": {"trial": {"enabled": True}}, "storage": {"className": "fast"}, "image": {"pullSecrets": ["pull"]},
        "mlflow": {
            "enabled": True, "hosts": ["mlflow.example.org"],
            "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}],
        },
        "argo": {"enabled": True, "namespace": "runs"},
    },
    "maintenance": {"maintenance": True, "metrics": {"enabled": True}, "argo": {"enabled": True}},
    "maintenance-of-standbys": {
        "maintenance": True, "replicas": 3, "storage": {"existingClaim": "shared", "accessModes": ["ReadWriteMany"]},
        "database": {"trial": {"enabled": True}},
    },
    "a-claim-that-is-there": {
        "nameOverride": "mine", "storage": {"existingClaim": "old"}, "admin": {"name": ""}, "replicas": 0,
        "networkPolicy": {"enabled": False}, "ingress": {"enabled": True, "host": "a.example.org", "className": "traefik"},
    },
}  # fmt: skip
