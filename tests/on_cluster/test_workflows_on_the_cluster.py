"""The real Argo: its types refuse what is wrong, and it runs what is right."""

import json
import subprocess
from typing import Any

import pytest
import yaml

from cluster.images import BUSYBOX

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
WORKFLOW = "workflows.argoproj.io"


def workflow(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    """Three levels: one step, two beside each other, one that reads what both said."""

    def task(name: str, word: str, *after: str) -> dict[str, Any]:
        arguments = {"parameters": [{"name": "word", "value": word}]}
        return {"name": name, "template": "says", "arguments": arguments, "dependencies": list(after)}

    def said(name: str) -> str:
        return "{{tasks." + name + ".outputs.parameters.said}}"

    tasks = [
        task("top", "a"), task("left", f"{said('top')}b", "top"), task("right", f"{said('top')}c", "top"),
        task("bottom", f"{said('left')}-{said('right')}", "left", "right"),
    ]  # fmt: skip
    says = {
        "name": "says",
        "inputs": {"parameters": [{"name": "word"}]},
        "outputs": {"parameters": [{"name": "said", "valueFrom": {"path": "/tmp/said"}}]},
        "container": {
            "image": BUSYBOX, "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", 'printf %s "$1" | tee /tmp/said', "sh", "{{inputs.parameters.word}}"],
        },
    }  # fmt: skip
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"entrypoint": "all", "templates": [{"name": "all", "dag": {"tasks": tasks}}, says]} | spec,
    }


def dry_run(workflows, manifest: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    command = ("create", "--dry-run=server", "--validate=strict", "-f", "-")
    return workflows.kubectl.tried(*command, stdin=json.dumps(manifest))


def test_a_right_workflow_passes_a_strict_dry_run(workflows, namespace):
    done = dry_run(workflows, workflow(namespace, "right"))
    assert done.returncode == 0, done.stderr
    assert workflows.kubectl.data("get", WORKFLOW, "-n", namespace)["items"] == []


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"parallelism": "two"}, "spec.parallelism"),
        ({"entrypiont": "all"}, 'unknown field "spec.entrypiont"'),
        ({"templates": [{"name": "all", "container": {"image": ["a", "list"]}}]}, "spec.templates[0].container.image"),
    ],
)
def test_a_wrong_workflow_is_refused_by_its_types(workflows, namespace, spec, complaint):
    done = dry_run(workflows, workflow(namespace, "wrong", **spec))
    assert done.returncode == 1
    assert complaint in done.stderr


def test_a_task_that_waits_for_none_is_found_without_a_cluster(argo_program, tmp_path):
    manifest = workflow("default", "absent")
    path = tmp_path / "workflow.yaml"
    path.write_text(yaml.safe_dump(manifest))
    assert subprocess.run([argo_program, "lint", "--offline", path], capture_output=True, check=False).returncode == 0
    manifest["spec"]["templates"][0]["dag"]["tasks"][3]["dependencies"] = ["nobody"]
    path.write_text(yaml.safe_dump(manifest))
    done = subprocess.run([argo_program, "lint", "--offline", path], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "nobody" in done.stdout + done.stderr


def test_a_workflow_of_three_levels_runs(workflows, namespace):
    workflows.kubectl.apply(workflow(namespace, "three"))

    def over() -> dict[str, Any] | None:
        status = workflows.kubectl.data("get", WORKFLOW, "three", "-n", namespace).get("status", {})
        return status if status.get("phase") in {"Succeeded", "Failed", "Error"} else None

    status = workflows.wait_for(over, "the Workflow has ended", 240)
    assert status["phase"] == "Succeeded", status.get("message")
    said = {
        node["displayName"]: node["outputs"]["parameters"][0]["value"]
        for node in status["nodes"].values()
        if node["type"] == "Pod"
    }
    assert said == {"top": "a", "left": "ab", "right": "ac", "bottom": "ab-ac"}
