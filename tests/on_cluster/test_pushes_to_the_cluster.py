"""`git push` to a platform whose runs go to a real cluster: the result is the one that the local engine makes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import OnCluster

from platforms import Copy, Platform, new_copy, wait

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
FILES = {
    "dvc.yaml": """\
vars:
- words: [one, two]
stages:
  prepare:
    cmd: python3 prepare.py
    deps: [data.txt, prepare.py]
    params: [prepare]
    outs: [prepared]
  count:
    foreach: ${words}
    do:
      cmd: cat prepared/*.txt | tr ' ' '\\n' | grep -c ${item} > counts/${item}.txt
      deps: [prepared]
      outs: ["counts/${item}.txt"]
  sum:
    cmd: python3 sum.py
    deps: [counts/one.txt, counts/two.txt, sum.py]
    metrics:
    - sum.json:
        cache: false
""",
    "params.yaml": "prepare:\n  parts: 3\n",
    "prepare.py": """\
import pathlib
out = pathlib.Path("prepared"); out.mkdir()
words = pathlib.Path("data.txt").read_text().split()
for number in range(3):
    (out / f"{number}.txt").write_text(" ".join(words[number::3]) + "\\n")
print("prepared", len(words), flush=True)
""",
    "sum.py": """\
import json, pathlib
found = {path.stem: int(path.read_text()) for path in sorted(pathlib.Path("counts").glob("*.txt"))}
json.dump(found, open("sum.json", "w"))
""",
    "counts/.gitignore": "",
    "data.txt": "one two three one two one\n" * 50,
}  # fmt: skip


@pytest.fixture
def platform(workflows: OnCluster, python_image: str, namespace: str, tmp_path: Path) -> Iterator[Platform]:
    made = Platform(tmp_path / "data").choose({
        "engine": "argo", "engines": "local", "kubeconfig": str(workflows.kubectl.kubeconfig), "argo_namespace": namespace,
        "argo_image": python_image, "stage_cpus": "0.1", "stage_memory": "256Mi", "stage_disk": "1Gi", "argo_network_policy": "false",
    })  # fmt: skip
    try:
        made.start("--host", "10.250.0.1")
        workflows.kubectl("apply", "-f", "-", stdin=made.refmill("render", "--installation"))
        yield made
    finally:
        made.stop()


def result(platform: Platform, copy: Copy, repository: str, number: int) -> dict[str, bytes]:
    """The files of a run's experiment."""
    copy.git("fetch", "--quiet", "--force", platform.url(repository, "alice"), "refs/exps/*:refs/exps/*")
    ref = next(
        line
        for line in copy.git("for-each-ref", "--format=%(refname)", "refs/exps").stdout.split()
        if line.endswith(f"/run-{number}")
    )
    names = copy.git("ls-tree", "-r", "--name-only", ref).stdout.splitlines()
    return {name: copy.bytes_of("git", "cat-file", "blob", f"{ref}:{name}") for name in names}


def test_a_push_runs_on_the_cluster_and_its_lock_is_the_local_engines(
    platform: Platform, tmp_path: Path, namespace: str, workflows: OnCluster
):
    copy = new_copy(tmp_path / "copy", FILES)
    platform.user("alice", "--admin")
    copy.git("push", platform.url("alice/there", "alice"), "main")
    run = platform.ended("alice/there", 1, 300)
    log = platform.log()[-4000:]
    assert run["status"] == "succeeded", (run, log)
    assert platform.query("SELECT engine FROM runs") == [("argo",)]
    there = result(platform, copy, "alice/there", 1)

    other = new_copy(
        tmp_path / "other",
        FILES
        | {"refmill.yaml": "apiVersion: refmill/v1\nkind: Pipeline\nmetadata: {name: here}\nspec: {engine: local}\n"},
    )
    other.git("push", platform.url("alice/here", "alice"), "main")
    here = platform.ended("alice/here", 1, 300)
    assert here["status"] == "succeeded"
    assert sorted(platform.query("SELECT engine FROM runs")) == [("argo",), ("local",)]
    local = result(platform, other, "alice/here", 1)
    assert there["dvc.lock"] == local["dvc.lock"]
    assert {name for name in there if name != "refmill.yaml"} == {name for name in local if name != "refmill.yaml"}
    assert there["sum.json"] == local["sum.json"]
    assert "prepared 300" in platform.refmill("logs", "alice/there#1", "prepare")
    workflows.wait_for(lambda: not [
        name for name in workflows.kubectl("get", "secrets", "-n", namespace, "-o", "name").split() if "/rf-" in name
    ], "the token goes")  # fmt: skip


def test_a_platform_killed_in_the_middle_goes_on_with_what_its_pods_do(
    platform: Platform, tmp_path: Path, workflows: OnCluster, namespace: str
):
    files = {
        "dvc.yaml": "stages:\n  slow:\n    cmd: sleep 12 && echo slow > slow.txt\n    outs: [slow.txt]\n"
        "  after:\n    cmd: cp slow.txt after.txt\n    deps: [slow.txt]\n    outs: [after.txt]\n",
        "refmill.yaml": "apiVersion: refmill/v1\nkind: Pipeline\nmetadata: {name: x}\nspec: {fuse: false}\n",
    }
    copy = new_copy(tmp_path / "copy", files)
    platform.user("alice", "--admin")
    copy.git("push", platform.url("alice/slow", "alice"), "main")
    wait(lambda: platform.query("SELECT status FROM stage_attempts WHERE status = 'running'"), "slow runs", 120)
    address = platform.address
    platform.kill()
    platform.start("--host", "10.250.0.1", "--port", address.rpartition(":")[2])
    run = platform.ended("alice/slow", 1, 300)
    assert run["status"] == "succeeded", (run, platform.log()[-4000:])
    assert platform.query("SELECT COUNT(*) FROM stage_attempts") == [(2,)]
    assert result(platform, copy, "alice/slow", 1)["dvc.lock"]
