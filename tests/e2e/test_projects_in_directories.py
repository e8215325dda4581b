"""Repositories with several DVC projects, each in a directory of its own: what a push runs, and where results go."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from platforms import REFMILL, Copy, Platform, wait

STAGE = "stages:\n  train: {cmd: cat in.txt > out.txt, deps: [in.txt], params: [rate], outs: [out.txt]}\n"
SPEC = "apiVersion: refmill/v1\nkind: Pipeline\nmetadata: {name: x}\nspec: {%s}\n"
FOLDERS = "apis/one", "two"


@pytest.fixture
def copy(tmp_path: Path, platform: Platform, name: str) -> Copy:
    """Two projects beside each other, and a root that is none; pushed nowhere yet."""
    made = Copy(tmp_path / "copy")
    made.path.mkdir()
    made.git("init", "--quiet", "--initial-branch=main")
    for folder in FOLDERS:
        made.write(
            {f"{folder}/dvc.yaml": STAGE, f"{folder}/in.txt": f"{folder}\n", f"{folder}/params.yaml": "rate: 1\n"}
        )
        Copy(made.path / folder).dvc("init", "--quiet", "--subdir")
    made.git("remote", "add", "origin", platform.url(f"alice/{name}", "alice"))
    made.commit("start")
    return made


def push(platform: Platform, copy: Copy) -> str:
    """Push, and give the answer: as it was noted, since git's answer does not wait for long."""
    copy.git("push", "--quiet", "origin", "main")
    tip = copy.git("rev-parse", "HEAD").stdout.strip()

    def look() -> str:
        database = sqlite3.connect(f"file:{platform.data / 'refmill.db'}?mode=ro", uri=True)
        found = "SELECT answer FROM events WHERE new = ? AND state = 'handled' ORDER BY id DESC"
        row = database.execute(found, (tip,)).fetchone()
        database.close()
        return "" if row is None else "\n".join(["answer", *json.loads(row[0])])

    return wait(look, f"the answer; {platform.log()[-2000:]}")


def ended(platform: Platform, repository: str, count: int) -> list[dict[str, Any]]:
    """The runs, oldest first, as soon as there are `count` and each has ended."""
    wait(lambda: len(platform.runs(repository)) == count, f"{count} runs; {platform.log()[-2000:]}")
    return [platform.ended(repository, number) for number in range(1, count + 1)]


def test_a_push_runs_the_projects_whose_files_changed(platform: Platform, name: str, copy: Copy) -> None:
    repository = f"alice/{name}"
    said = push(platform, copy)
    for number, folder in enumerate(FOLDERS, 1):
        assert f"run #{number} of {folder}: {platform.address}/{repository}/runs/{number}" in said, said
    assert "no .dvc folder" not in said
    runs = ended(platform, repository, 2)
    assert [(run["project"], run["status"]) for run in runs] == [(folder, "succeeded") for folder in FOLDERS]

    copy.write({"two/params.yaml": "rate: 2\n"}).commit()
    said = push(platform, copy)
    assert "run #3 of two" in said, said
    assert "of apis/one" not in said
    assert "params.yaml: rate 1 → 2" in said  # against the last run of that project

    copy.write({"README.md": "new\n"}).commit()
    said = push(platform, copy)
    assert "nothing started: no project changed since its last run on this branch" in said, said
    copy.write({"apis/one/notes.md": "new\n"}).commit()
    assert "of apis/one" in push(platform, copy)

    last = ended(platform, repository, 4)[3]
    assert (last["project"], [stage["status"] for stage in last["stages"]]) == ("apis/one", ["cached"])
    retried = json.loads(platform.refmill("retry", f"{repository}#3", "--json"))
    assert (retried["project"], retried["attempt"]) == ("two", 2)
    assert "project two" in platform.refmill("show", f"{repository}#{retried['number']}")
    table = platform.refmill("runs", repository).splitlines()
    assert table[0].split()[:2] == ["run", "project"]
    assert table[-1].split()[1] == "apis/one"


def test_what_was_pushed_without_a_run_runs_with_the_next_push(platform: Platform, name: str, copy: Copy) -> None:
    push(platform, copy)
    ended(platform, f"alice/{name}", 2)
    copy.write({"two/in.txt": "other\n"}).commit("[skip ci] two")
    push(platform, copy)
    copy.write({"apis/one/in.txt": "other\n"}).commit("one")
    said = push(platform, copy)
    assert "of apis/one" in said, said
    assert "of two" in said, said


def test_the_results_of_each_project_come_to_a_clone(platform: Platform, name: str, copy: Copy, tmp_path: Path) -> None:
    for folder in FOLDERS:
        copy.write({f"{folder}/refmill.yaml": SPEC % "results: commit"})
    copy.commit()
    push(platform, copy)
    runs = ended(platform, f"alice/{name}", 2)
    assert [run["explanation"] for run in runs] == [None, None]

    there = Copy(tmp_path / "clone")
    subprocess.run(["git", "clone", "--quiet", platform.url(f"alice/{name}", "alice"), there.path], check=True)
    listed = there.git("log", "--format=%s", "-3").stdout.splitlines()
    assert {line.rpartition(" ")[2] for line in listed[:2]} == {"1", "2"}
    assert listed[2] == "a change"
    changed = there.git("diff", "--name-only", "HEAD~2").stdout.split()
    assert changed == sorted(f"{folder}/{file}" for folder in FOLDERS for file in (".gitignore", "dvc.lock"))
    for folder in FOLDERS:
        clone = Copy(there.path / folder)
        clone.dvc("remote", "add", "--local", "--default", "refmill", platform.url(f"alice/{name}", ending=".dvc"))
        for key, value in {"auth": "basic", "user": "alice", "password": platform.user("alice")}.items():
            clone.dvc("remote", "modify", "--local", "refmill", key, value)
        clone.dvc("pull", "--quiet")
        assert "up to date" in clone.dvc("status").stdout
        assert "didn't change" in clone.dvc("repro").stdout
        assert (clone.path / "out.txt").read_text() == f"{folder}\n"
    assert there.git("status", "--porcelain").stdout == ""


def test_an_experiment_is_pulled_and_applied_in_its_directory(platform: Platform, name: str, copy: Copy) -> None:
    push(platform, copy)
    ended(platform, f"alice/{name}", 2)
    two = Copy(copy.path / "two")
    two.dvc("remote", "add", "--local", "--default", "refmill", platform.url(f"alice/{name}", ending=".dvc"))
    for key, value in {"auth": "basic", "user": "alice", "password": platform.user("alice")}.items():
        two.dvc("remote", "modify", "--local", "refmill", key, value)
    two.dvc("exp", "pull", "--quiet", "origin", "run-2")
    two.dvc("exp", "apply", "--quiet", "run-2")
    assert "up to date" in two.dvc("status").stdout
    assert (two.path / "out.txt").read_text() == "two\n"
    assert not (copy.path / "apis/one/dvc.lock").exists()


def test_faults_are_told_with_their_place_in_the_repository(platform: Platform, name: str, copy: Copy) -> None:
    copy.write({"two/dvc.yaml": STAGE.replace("deps", "dep")}).commit()
    refused = copy.git("push", "origin", "main", check=False)
    assert refused.returncode != 0
    assert "two/dvc.yaml:2:" in refused.stderr, refused.stderr
    assert "There is no key “dep” here" in refused.stderr

    here = copy.run(REFMILL, "validate", check=False)
    assert here.returncode == 3
    assert "two/dvc.yaml:2:" in here.stderr
    assert "apis/one: fine: 1 stage" in here.stdout
    assert copy.run(REFMILL, "validate", "apis/one").stdout.startswith("fine: 1 stage")
    outside = copy.run(REFMILL, "plan", check=False)
    assert outside.returncode == 2
    assert "apis/one, two" in outside.stderr

    copy.git("push", "--quiet", "-o", "refmill.validate=warn", "origin", "main")
    copy.write({"apis/one/in.txt": "new\n"}).commit()
    said = push(platform, copy)  # what was wrong before refuses nothing
    assert "dep" not in said, said
    runs = ended(platform, f"alice/{name}", 2)
    assert {run["project"] for run in runs} == {"apis/one"}


def test_missing_data_are_brought_from_the_projects_directory(platform: Platform, name: str, copy: Copy) -> None:
    copy.write({"two/raw.csv": "1\n", "two/dvc.yaml": STAGE.replace("in.txt", "raw.csv")})
    Copy(copy.path / "two").dvc("add", "--quiet", "raw.csv")
    copy.commit()
    lines = [line.strip() for line in push(platform, copy).splitlines()]
    start = lines.index("cd two")
    address = platform.url(f"alice/{name}", ending=".dvc")
    assert lines[start + 1 : start + 3] == [f"dvc remote add --force --default refmill {address}", "dvc push"]


def test_refmill_yaml_of_a_project_speaks_of_its_own_files(platform: Platform, name: str, copy: Copy) -> None:
    copy.write({"two/refmill.yaml": SPEC % "on: {skip: ['docs/**']}, env: {PLACE: here}"})
    copy.write({"two/dvc.yaml": STAGE.replace("cat", "echo $PLACE $(basename $DVC_ROOT) && cat")}).commit()
    push(platform, copy)
    assert ended(platform, f"alice/{name}", 2)[1]["status"] == "succeeded"
    assert platform.refmill("logs", f"alice/{name}#2", "train").splitlines()[-1] == "here two"
    copy.write({"two/docs/x.md": "x\n"}).commit()
    said = push(platform, copy)
    assert "two: nothing started: `on:` in refmill.yaml leaves this push out" in said, said


def test_a_project_inside_of_the_root_is_not_the_roots(platform: Platform, name: str, copy: Copy) -> None:
    copy.dvc("init", "--quiet")
    copy.write({"dvc.yaml": STAGE, "in.txt": "root\n", "params.yaml": "rate: 1\n"}).commit()
    said = push(platform, copy)
    assert f"run #1: {platform.address}" in said, said
    runs = ended(platform, f"alice/{name}", 3)
    assert [(run["project"], [stage["name"] for stage in run["stages"]]) for run in runs] == [
        ("", ["train"]), ("apis/one", ["train"]), ("two", ["train"]),
    ]  # fmt: skip
    planned = copy.run(REFMILL, "plan")
    assert "apis/one, two" in planned.stderr
    assert copy.run(REFMILL, "validate").stdout.count("fine: 1 stage") == 3


def test_a_newer_push_ends_runs_of_the_same_project_alone(
    platform: Platform, name: str, copy: Copy, tmp_path: Path
) -> None:
    for folder in FOLDERS:
        mark = tmp_path / folder.replace("/", "-")
        sleeper = f"stages:\n  slow: {{cmd: 'touch {mark} && sleep 7013', deps: [in.txt]}}\n"
        copy.write({f"{folder}/dvc.yaml": sleeper, f"{folder}/refmill.yaml": SPEC % "cancelSuperseded: true"})
    copy.commit()
    push(platform, copy)
    wait((tmp_path / "two").exists, "two runs")
    wait((tmp_path / "apis-one").exists, "one runs")
    copy.write({"two/dvc.yaml": STAGE}).commit()
    push(platform, copy)
    assert platform.ended(f"alice/{name}", 2)["status"] == "superseded"
    assert platform.ended(f"alice/{name}", 3)["status"] == "succeeded"
    runs = {run["number"]: run["status"] for run in platform.runs(f"alice/{name}")}
    assert runs[1] == "running"
    platform.refmill("stop", f"alice/{name}#1")
