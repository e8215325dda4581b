"""The one flow: push, plan, run, lock, experiment, and what a clone sees of it."""

import json
from collections.abc import Callable
from pathlib import Path

from platforms import Copy, Platform, new_copy

FILES = {
    "dvc.yaml": """\
stages:
  prepare:
    cmd: sort numbers.txt > sorted.txt
    deps: [numbers.txt]
    outs: [sorted.txt]
  sum:
    foreach: [one, two]
    do:
      cmd: mkdir -p sums && sh add.sh ${item} < sorted.txt > sums/${item}.json
      deps: [sorted.txt, add.sh]
      params:
        - factor.${item}
      outs:
        - sums/${item}.json
  report:
    cmd: cat sums/one.json sums/two.json > all.txt && echo '{"count":' $(wc -l < all.txt) '}' > metrics.json
    deps: [sums/one.json, sums/two.json]
    outs: [all.txt]
    metrics:
      - metrics.json:
          cache: false
""",
    "params.yaml": "factor:\n  one: 1\n  two: 2\n",
    "numbers.txt": "3\n1\n2\n",
    "add.sh": 'while read n; do echo "$1 $n"; done\n',
}

WIDE = """\
stages:
  wide:
    matrix:
      n: [1, 2, 3, 4, 5, 6, 7, 8]
    cmd: sleep 0.1 && echo ${item.n} > out${item.n}.txt
    deps: [seed.txt]
    outs:
      - out${item.n}.txt
"""


def test_a_push_runs_the_pipeline_and_a_clone_gets_the_result(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str, tmp_path: Path
) -> None:
    copy = project(FILES)
    sha = copy.git("rev-parse", "HEAD").stdout.strip()
    pushed = copy.git("push", platform.url(f"alice/{name}", "alice"), "main")
    assert f"remote: run #1: {platform.address}/alice/{name}/runs/1" in pushed.stderr
    run = platform.ended(f"alice/{name}")
    assert run["status"] == "succeeded", platform.log()[-3000:]
    assert (run["repository"], run["commit"], run["ref"]) == (f"alice/{name}", sha, "refs/heads/main")
    assert {stage["name"]: stage["status"] for stage in run["stages"]} == dict.fromkeys(
        ["prepare", "sum@one", "sum@two", "report"], "succeeded"
    )

    # The oracle: the same project by `dvc repro`.
    oracle = new_copy(tmp_path / "oracle", FILES)
    oracle.dvc("repro", "--quiet")

    clone = Copy(tmp_path / "clone")
    copy.git("clone", "--quiet", platform.url(f"alice/{name}", "alice"), str(clone.path))
    clone.dvc("remote", "add", "--local", "-d", "refmill", platform.url(f"alice/{name}", "alice", ".dvc"))
    assert "run-1" in clone.dvc("exp", "list", "origin").stdout
    clone.dvc("exp", "pull", "origin", "run-1")
    clone.dvc("exp", "apply", "run-1")
    assert (clone.path / "dvc.lock").read_bytes() == (oracle.path / "dvc.lock").read_bytes()
    assert (clone.path / ".gitignore").read_bytes() == (oracle.path / ".gitignore").read_bytes()
    clone.dvc("pull")
    assert "up to date" in clone.dvc("status").stdout
    assert "up to date" in clone.dvc("repro").stdout
    assert json.loads((clone.path / "metrics.json").read_text()) == {"count": 6}


def test_a_changed_parameter_runs_only_what_depends_on_it(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str
) -> None:
    copy = project(FILES)
    url = platform.url(f"alice/{name}", "alice")
    copy.git("push", url, "main")
    assert platform.ended(f"alice/{name}")["status"] == "succeeded"
    copy.write({"params.yaml": "factor:\n  one: 1\n  two: 3\n"}).commit("another factor")
    pushed = copy.git("push", url, "main")
    assert "factor.two" in pushed.stderr
    run = platform.ended(f"alice/{name}", 2)
    assert {stage["name"]: stage["status"] for stage in run["stages"]} == {
        "prepare": "cached", "sum@one": "cached", "sum@two": "succeeded", "report": "cached",
    }  # fmt: skip


def test_a_push_that_changes_nothing_relevant_ends_at_once(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str
) -> None:
    copy = project(FILES)
    copy.dvc("repro", "--quiet")
    copy.commit("with its lock")
    url = platform.url(f"alice/{name}", "alice")
    copy.git("push", url, "main")
    assert platform.ended(f"alice/{name}")["status"] == "succeeded"
    copy.write({"README.md": "words\n"}).commit("words")
    assert "nothing to run" in copy.git("push", url, "main").stderr
    assert platform.ended(f"alice/{name}", 2)["status"] == "nothing"


def test_a_broken_file_is_refused_with_its_place_and_remedy(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str
) -> None:
    copy = project(
        FILES | {"dvc.yaml": "stages:\n  one:\n    cmd: echo\n    dep: [a]\n  two:\n    cmd: echo\n    outs: [../x]\n"}
    )
    url = platform.url(f"alice/{name}", "alice")
    pushed = copy.git("push", url, "main", check=False)
    assert pushed.returncode != 0
    assert "dvc.yaml:4:5" in pushed.stderr
    assert "dvc.yaml:7" in pushed.stderr
    assert "deps" in pushed.stderr
    assert platform.runs(f"alice/{name}") == []
    assert copy.git("ls-remote", url).stdout == ""


def test_more_stages_than_cores_all_end_with_one_attempt(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str
) -> None:
    copy = project({"dvc.yaml": WIDE, "seed.txt": "1\n"})
    copy.git("push", platform.url(f"alice/{name}", "alice"), "main")
    run = platform.ended(f"alice/{name}")
    assert run["status"] == "succeeded"
    assert {(stage["status"], stage["attempt"]) for stage in run["stages"]} == {("succeeded", 1)}
    assert len(run["stages"]) == 8
