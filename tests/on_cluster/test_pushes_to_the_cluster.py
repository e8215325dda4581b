"""`git push` to a platform whose runs go to a real cluster: the result is the one that the local engine makes."""

from dataclasses import replace
from pathlib import Path

import pytest
from clusters import OnCluster
from pushing import FIT, HERE, SPEC, Attempted, Pushed, assert_alike, push, push_new, restart

from platforms import Platform, wait

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


@pytest.mark.ci
def test_a_push_runs_on_the_cluster_and_its_lock_is_the_local_engines(
    platform: Platform, tmp_path: Path, namespace_of_all: str, workflows: OnCluster
):
    there = push_new(platform, "there", tmp_path, FILES)
    here = push_new(platform, "here", tmp_path, FILES | {FIT: HERE})
    there.ended()
    here.ended()
    assert_alike(there, here)
    assert "prepared 300" in platform.refmill("logs", "alice/there#1", "prepare")
    secrets = ("get", "secrets", "-n", namespace_of_all, "-o", "name")
    workflows.wait_for(
        lambda: not [name for name in workflows.kubectl(*secrets).split() if "/rf-" in name], "the token goes"
    )


CHAIN = {
    "dvc.yaml": """\
stages:
  read: {cmd: "sort in.txt > read.txt && echo read", deps: [in.txt], outs: [read.txt]}
  count: {cmd: "echo ${digit}$(wc -l < read.txt) | tee count.txt", deps: [read.txt], params: [digit], outs: [count.txt]}
  tell: {cmd: "cat count.txt > told.json", deps: [count.txt], metrics: [told.json: {cache: false}]}
""",
    "params.yaml": "digit: 1\n",
    "in.txt": "c\na\nb\n",
}  # fmt: skip


@pytest.mark.ci
def test_a_chain_shares_a_pod_and_the_next_push_runs_only_what_changed(
    platform: Platform, tmp_path: Path, namespace_of_all: str, workflows: OnCluster
):
    def pods(pushed: Pushed) -> int:
        found = workflows.kubectl.data("get", "workflows.argoproj.io", f"rf-{pushed.run}", "-n", namespace_of_all)
        return len([node for node in found["status"]["nodes"].values() if node["type"] == "Pod"])

    there = push_new(platform, "chain", tmp_path, CHAIN)
    there.ended()
    here = push_new(platform, "chain-here", tmp_path, CHAIN | {FIT: HERE})
    here.ended()
    assert_alike(there, here)
    assert pods(there) == 1
    there.copy.write({"params.yaml": "digit: 2\n"}).commit("another digit")
    push(platform, "chain", there.copy)
    again = replace(there, number=2)
    again.ended()
    assert [(each.address, each.status) for each in again.attempts()] == [
        ("read", "cached"), ("count", "succeeded"), ("tell", "succeeded"),
    ]  # fmt: skip
    assert "23" in platform.refmill("logs", "alice/chain#2", "count").split()
    assert pods(again) == 1


FIFTY = {
    "dvc.yaml": """\
vars:
- parts: [NUMBERS]
stages:
  seed: {cmd: 'tr -d x < in.txt > seed.txt', deps: [in.txt], outs: [seed.txt]}
  part:
    foreach: ${parts}
    do:
      cmd: sed 's/^/${item} /' seed.txt > parts/${item}.txt
      deps: [seed.txt]
      outs: ["parts/${item}.txt"]
  whole:
    cmd: cat parts/*.txt > whole.txt && wc -l < whole.txt > lines.json
    deps: [FILES]
    outs: [whole.txt]
    metrics:
    - lines.json: {cache: false}
""".replace("NUMBERS", ", ".join(map(str, range(50)))).replace("FILES", ", ".join(f"parts/{n}.txt" for n in range(50))),
    "in.txt": "oxne\ntxwo\n",
    "parts/.gitignore": "",
}  # fmt: skip


def test_fifty_stages_side_by_side_come_to_what_the_local_engine_makes_of_them(platform: Platform, tmp_path: Path):
    there = push_new(platform, "fifty", tmp_path, FIFTY)
    there.ended(seconds=600)
    here = push_new(platform, "fifty-here", tmp_path, FIFTY | {FIT: HERE})
    here.ended()
    assert_alike(there, here)
    assert there.result()["lines.json"][1] == b"100\n"
    assert {(each.attempt, each.status) for each in there.attempts()} == {(1, "succeeded")}
    assert len(there.attempts()) == 52


def test_a_platform_killed_in_the_middle_goes_on_with_what_its_pods_do(platform: Platform, tmp_path: Path):
    files = {
        "dvc.yaml": "stages:\n  slow:\n    cmd: sleep 12 && echo slow > slow.txt\n    outs: [slow.txt]\n"
        "  after:\n    cmd: cp slow.txt after.txt\n    deps: [slow.txt]\n    outs: [after.txt]\n",
        FIT: SPEC + "  fuse: false\n",
    }
    slow = push_new(platform, "slow", tmp_path, files)
    wait(lambda: slow.is_at("slow", 1, "running"), "slow runs", 120)
    restart(platform)
    slow.ended()
    assert slow.attempts() == [Attempted("slow", 1, "succeeded"), Attempted("after", 1, "succeeded")]
    assert slow.result()["dvc.lock"]
