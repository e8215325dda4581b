"""The chart, as the real helm renders it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster import components
from cluster.errors import ClusterError
from cluster.places import places

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "charts" / "refmill"
NO_HELM = "no helm: `python -m cluster build` in tests builds it, in minutes"
RANDOM = re.compile(r'^(  "(?:secrets\.key|password|token|url|AWS_SECRET_ACCESS_KEY)": ).+$', re.MULTILINE)
"""What is made anew at every rendering that sees no cluster."""


def helm() -> Path:
    """The program, from the test cluster's cache or PATH; without one the test is skipped."""
    try:
        built = components.place(components.HELM, places().cache) / "helm"
    except (ClusterError, OSError):
        built = None
    if built is not None and built.exists():
        return built
    if found := shutil.which("helm"):
        return Path(found)
    pytest.skip(NO_HELM)


def template(values: dict[str, Any], *words: str, namespace: str = "prod") -> subprocess.CompletedProcess[str]:
    """`helm template` of these values."""
    command = [helm(), "template", "mill", CHART, "--namespace", namespace, "--values", "-", *words]
    return subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=False)


def rendered(values: dict[str, Any], namespace: str = "prod") -> str:
    """The manifests, with a word in place of what is random."""
    done = template(values, namespace=namespace)
    assert done.returncode == 0, done.stderr
    return RANDOM.sub(r"\1(made)", done.stdout)


def notes(values: dict[str, Any], home: Path) -> str:
    """What people are told after an installation; helm finds no cluster from `home`."""
    command = [helm(), "install", "mill", CHART, "--namespace", "prod", "--dry-run=client", "--values", "-"]
    done = subprocess.run(
        command, input=json.dumps(values), capture_output=True, text=True, check=False,
        env={"KUBECONFIG": str(home / "none"), "HOME": str(home)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split("NOTES:")[1]


def objects(values: dict[str, Any], namespace: str = "prod") -> dict[tuple[str, str], dict[str, Any]]:
    """The objects by kind and name."""
    found = [item for item in yaml.safe_load_all(rendered(values, namespace)) if item]
    made = {(item["kind"], item["metadata"]["name"]): item for item in found}
    assert len(made) == len(found)
    return made
