"""`refmill render`: a run as it would be on a cluster, of a working copy and of a commit."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

FILES = {
    "dvc.yaml": "stages:\n  a: {cmd: 'echo {{workflow.name}}', outs: [a]}\n  b: {cmd: cat a, deps: [a]}\n",
    "refmill.yaml": "apiVersion: refmill/v1\nkind: Pipeline\nmetadata: {name: x}\n"
    "spec: {image: 'python:3.13', nodeSelector: {gpu: a100}}\n",
}


@pytest.fixture
def copy(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working copy with one commit."""
    monkeypatch.setenv("REFMILL_ARGO_NODES", "gpu=*")
    (here / ".dvc").mkdir()
    for name, content in FILES.items():
        (here / name).write_text(content)
    (here / ".dvc" / "config").write_text("")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=here, check=True)
    return here


def test_a_working_copy_becomes_a_workflow(refmill, copy: Path) -> None:
    done = refmill("render")
    assert (done.code, done.err) == (0, "")
    assert "#     echo {{workflow.name}}\n" in done.out
    workflow = yaml.safe_load(done.out)
    assert workflow["kind"] == "Workflow"
    pod = workflow["spec"]["templates"][-1]
    assert (pod["container"]["image"], pod["nodeSelector"]) == ("python:3.13", {"gpu": "a100"})
    assert "echo" not in json.dumps(workflow)


def test_a_commit_becomes_another_workflow(refmill, copy: Path) -> None:
    (copy / "dvc.yaml").write_text("stages:\n  only: {cmd: later}\n")
    here, there = refmill("render"), refmill("render", "--rev", "HEAD")
    assert ("later" in here.out, "later" in there.out) == (True, False)
    workflow = yaml.safe_load(there.out)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=copy, capture_output=True, text=True, check=True)
    assert workflow["metadata"]["labels"]["refmill.dev/commit"] == commit.stdout.strip()
    assert workflow["metadata"]["name"] != yaml.safe_load(here.out)["metadata"]["name"]


def test_an_unknown_commit_is_told(refmill, copy: Path) -> None:
    done = refmill("render", "--rev", "nowhere")
    assert (done.code, done.out) == (2, "")
    assert "there is no commit “nowhere” here" in done.err


def test_what_the_operator_does_not_allow_is_told_with_its_place(
    refmill, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFMILL_ARGO_NODES", "gpu=t4")
    done = refmill("render")
    assert (done.code, done.out) == (3, "")
    assert "refmill.yaml:4:50: The operator does not allow “gpu=a100” for stages" in done.err
    assert "Allowed here: gpu=t4." in done.err


def test_other_commands_do_not_know_what_is_allowed(refmill, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REFMILL_ARGO_NODES")
    (copy / "requirements.txt").write_text("")
    assert refmill("plan").code == 0


TEMPLATE = ".refmill/templates/workflow.yaml.j2"


def written(copy: Path, block: str) -> None:
    (copy / TEMPLATE).parent.mkdir(parents=True)
    (copy / TEMPLATE).write_text(f'[% extends "refmill/workflow.yaml.j2" %]\n{block}\n')


def test_a_repositorys_own_template_is_used(refmill, copy: Path) -> None:
    written(copy, '[% block labels %][[ dict(labels, team="vision") ]][% endblock %]')
    done = refmill("render")
    assert (done.code, done.err) == (0, "")
    assert "#     echo {{workflow.name}}\n" in done.out
    assert yaml.safe_load(done.out)["metadata"]["labels"]["team"] == "vision"
    assert "team" not in yaml.safe_load(refmill("render", "--rev", "HEAD").out)["metadata"]["labels"]


def test_what_its_template_may_not_do_is_told_with_its_place(refmill, copy: Path) -> None:
    written(copy, "[% block sidecars %]\n    securityContext: {runAsUser: 0}\n[% endblock %]")
    done = refmill("render")
    assert (done.code, done.out) == (3, "")
    assert f"{TEMPLATE}:3:5: a template may not add `spec.templates[t1].securityContext`" in done.err


def test_the_local_engine_does_not_look_at_templates(refmill, copy: Path) -> None:
    written(copy, "[% block %]")
    (copy / "requirements.txt").write_text("")
    (copy / "refmill.yaml").unlink()
    (copy / "dvc.yaml").write_text("stages:\n  a: {cmd: echo > a, outs: [a]}\n")
    assert refmill("plan").code == 0
    assert refmill("run").code == 0


def test_plan_json_has_the_commands(refmill, copy: Path) -> None:
    plan = json.loads(refmill("render", "--plan").out)
    assert [[stage["commands"] for stage in pod] for pod in plan["pods"]] == [[["echo {{workflow.name}}"], ["cat a"]]]


def test_settings_come_from_the_data_directory(refmill, copy: Path) -> None:
    (copy / "data").mkdir()
    (copy / "data" / "refmill.toml").write_text('argo_namespace = "ml"\nargo_pull_secrets = "one, two"\n')
    workflow = yaml.safe_load(refmill("render", "--data", "data").out)
    assert workflow["metadata"]["namespace"] == "ml"
    assert workflow["spec"]["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]


def test_what_a_namespace_needs_is_printed_anywhere(refmill, here: Path) -> None:
    made = list(yaml.safe_load_all(refmill("render", "--installation").out))
    assert [item["kind"] for item in made][:2] == ["ServiceAccount", "ServiceAccount"]
