"""The API server takes what Refmill writes as it is written: the Workflows that are kept, and runs of 5,000 stages."""

import json
import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from clusters import OnCluster
from pushing import FIT, SPEC

from cluster.images import BUSYBOX
from numbered_runs import APART, COUNT, SHAPES, Orders
from platforms import REFMILL, Platform, new_copy
from refmill_argo.compiling import compile_run
from refmill_argo.options import Options

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
KEPT = sorted((Path(__file__).parent.parent / "golden" / "workflows").glob("*.yaml"))
WORKFLOWS = "workflows.argoproj.io"
MOST = 1 << 20
"""Bytes of a Workflow with all that the API server adds: etcd takes half as much again, for Argo's state."""
SECONDS = 300


def within(namespace: str, texts: Iterable[str]) -> str:
    """The Workflows as they are written, comments and all, but for their namespace."""
    return "---\n".join(re.sub(r'(?m)^  "?namespace"?: .*$', f'  namespace: "{namespace}"', text) for text in texts)


def read(text: str) -> list[dict[str, Any]]:
    """As YAML's other reader understands it."""
    return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document]


def sent(cluster: OnCluster, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    """What the API server says of these Workflows, each for itself; what it does not know, it refuses."""
    command = ("create", "--validate=strict", "-o", "json", "--show-managed-fields", *words, "-f", "-")
    return cluster.kubectl.tried(*command, stdin=text, seconds=SECONDS)


def taken(cluster: OnCluster, text: str, *words: str) -> None:
    """All of them are taken, as exactly what was meant, and each has room in etcd."""
    done = sent(cluster, text, *(words or ("--dry-run=server",)))
    assert done.returncode == 0, done.stderr[-4000:]
    found, rest = [], done.stdout.strip()
    while rest:
        one, end = json.JSONDecoder().raw_decode(rest)
        found.append(one)
        rest = rest[end:].lstrip()
    meant = read(text)
    assert [one["metadata"]["name"] for one in found] == [one["metadata"]["name"] for one in meant]
    for one, other in zip(found, meant, strict=True):
        assert one["spec"] == other["spec"]
        assert [one["metadata"][key] for key in ("labels", "annotations")] == [
            other["metadata"][key] for key in ("labels", "annotations")
        ]
        assert len(json.dumps(one)) < MOST


@pytest.mark.ci
def test_every_kept_workflow_is_taken_as_it_stands(workflows: OnCluster, namespace: str):
    text = within(namespace, [path.read_text(encoding="utf-8") for path in KEPT])
    assert len(KEPT) > 20
    assert len(read(text)) >= len(KEPT) - 1, "one has nothing that could run"
    taken(workflows, text)
    done = sent(workflows, text.replace("runAsNonRoot", "runAsNoRoot"), "--dry-run=server")
    assert done.stderr.count('unknown field "spec.securityContext.runAsNoRoot"') == len(read(text))


@pytest.mark.parametrize("shape", SHAPES)
def test_five_thousand_stages_of_any_shape_are_taken(shape: str, workflows: OnCluster, namespace: str):
    options = Options(server="https://refmill.example.org", runner="f" * 64, namespace=namespace)
    made = compile_run(Orders()(SHAPES[shape], settings=APART), options)
    taken(workflows, within(namespace, made.workflows.values()))


def named(count: int, ending: str = "") -> str:
    return ", ".join(f"i{number:04d}{ending}" for number in range(count))


FAN = {
    "dvc.yaml": f"""\
stages:
  first: {{cmd: ./first, outs: [start]}}
  part: {{foreach: '${{names}}', do: {{cmd: './part ${{item}}', deps: [start], outs: ['${{item}}.a']}}}}
  last: {{cmd: ./last, deps: [{named(COUNT - 2, ".a")}], outs: [end]}}
""",
    "params.yaml": f"names: [{named(COUNT - 2)}]\n",
}
PAIRS, KINDS = 2400, 198
MIXED = {
    "dvc.yaml": f"""\
stages:
  first: {{cmd: ./first, outs: [start]}}
  one: {{foreach: '${{names}}', do: {{cmd: './one ${{item}}', deps: [start], outs: ['${{item}}.a']}}}}
  two: {{foreach: '${{names}}', do: {{cmd: './two ${{item}}', deps: ['${{item}}.a'], outs: ['${{item}}.b']}}}}
  kind: {{foreach: '${{few}}', do: {{cmd: './kind ${{item}}', deps: [start], outs: ['${{item}}.c']}}}}
  last: {{cmd: ./last, deps: [{named(PAIRS, ".b")}, {named(KINDS, ".c")}], outs: [end]}}
""",
    "params.yaml": f"names: [{named(PAIRS)}]\nfew: [{named(KINDS)}]\n",
    FIT: SPEC
    + "  onError: continue\n  stages:\n    last: {pause: true}\n"
    + "".join(f"    kind@i{number:04d}: {{resources: {{memory: {256 + number}Mi}}}}\n" for number in range(KINDS))
    + "".join(f"    two@i{number:04d}: {{image: '{BUSYBOX}', python: false}}\n" for number in range(0, PAIRS, 2)),
}
"""Pairs, every other of which shares a pod, the rest with images without Python, and many that are of a kind alone."""


@pytest.mark.parametrize(
    ("files", "pods"), [(FAN, COUNT), (MIXED, PAIRS + PAIRS // 2 + KINDS + 2)], ids=["fan", "mixed"]
)
def test_the_workflows_of_a_project_of_five_thousand_stages_are_taken_kept_and_begun(
    files: dict[str, str], pods: int, workflows: OnCluster, namespace: str, tmp_path: Path
):
    """Begun, for Argo looks through a Workflow then, but suspended, so that nothing of it runs."""
    platform = Platform(tmp_path / "data").choose({"argo_namespace": namespace})
    command = [REFMILL, "render", str(new_copy(tmp_path / "copy", files).path), "--data", str(platform.data)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.startswith(f"# stages: {COUNT}, pods: {pods}\n")
    made = read(done.stdout)
    parent, children = made[0]["metadata"]["name"], [one["metadata"]["name"] for one in made[1:]]
    assert children == [f"{parent}-c{number}" for number in range(1, len(made))]
    assert len(children) > 1
    taken(workflows, done.stdout)
    taken(workflows, re.sub(r"(?m)^spec:$", "spec:\n  suspend: true", done.stdout), "--dry-run=none")

    def phases() -> set[str]:
        listed = workflows.kubectl.data("get", WORKFLOWS, "-n", namespace)["items"]
        assert len(listed) == len(made)
        return {one.get("status", {}).get("phase", "") for one in listed}

    workflows.wait_for(lambda: "" not in phases(), "Argo has looked at them")
    assert phases() == {"Running"}
    workflows.kubectl("delete", WORKFLOWS, "--all", "-n", namespace)
