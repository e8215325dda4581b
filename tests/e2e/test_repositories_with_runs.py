"""Deleting, archiving and renaming a repository while runs of it are under way."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from platforms import Copy, Platform, alive, new_copy, run_of, wait

WAITS = "stages:\n  slow: {cmd: 'touch %(at)s/begun && while test ! -e %(at)s/go; do sleep 0.05; done && cp in.txt a.txt', deps: [in.txt], outs: [a.txt]}\n"
STUBBORN = "stages:\n  %(name)s: {cmd: 'trap \"\" TERM; touch %(at)s/%(name)s; sleep 7011 & wait; sleep 7011', deps: [in.txt], outs: [a.txt]}\n"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Platform]:
    """A platform of its own: its log must say nothing but what this test did."""
    running = Platform(tmp_path / "data").start("--cpus", "2")
    running.user("alice", "--admin")
    yield running
    running.stop()


def test_a_repository_is_deleted_while_one_run_of_it_runs_and_others_wait(own: Platform, tmp_path: Path) -> None:
    url = own.url("alice/doomed", "alice")
    beside = new_copy(tmp_path / "beside", {"dvc.yaml": WAITS % {"at": tmp_path}, "in.txt": "1\n"})
    beside.git("push", "--quiet", own.url("alice/beside", "alice"), "main")
    wait((tmp_path / "begun").exists, "the other repository's run starts")
    copy = new_copy(tmp_path / "copy", {"in.txt": "1\n", "README.md": "words\n"})
    for branch in ("one", "two", "three"):
        copy.write({"dvc.yaml": STUBBORN % {"at": tmp_path, "name": branch}}).commit(branch)
        copy.git("push", "--quiet", url, f"main:{branch}")
    wait((tmp_path / "one").exists, "the first one's stage starts")
    assert len(own.runs("alice/doomed")) == 3
    identity = next(
        item["id"] for item in json.loads(own.refmill("repo", "list", "--json")) if "doomed" in item["name"]
    )
    runs = [run["id"] for run in own.runs("alice/doomed")]
    assert any(alive(own, run) for run in runs)
    own.refmill("repo", "delete", "alice/doomed", "--yes")
    assert [alive(own, run) for run in runs] == [[], [], []]
    wait(lambda: not any((own.data / "work" / run).exists() for run in runs), "its runs' folders go")
    assert not (own.data / "repos" / f"{identity}.git").exists()
    assert not (own.data / "objects" / "r" / identity).exists()
    assert "alice/doomed" not in own.refmill("repo", "list", "--json")
    assert not (tmp_path / "two").exists()
    assert not (tmp_path / "three").exists()

    assert run_of(own, "alice/beside", 1)["status"] == "running"
    (tmp_path / "go").touch()
    assert own.ended("alice/beside")["status"] == "succeeded", "other runs go on"
    again = new_copy(tmp_path / "again", {"dvc.yaml": "stages:\n  a: {cmd: echo 1 > a.txt, outs: [a.txt]}\n"})
    again.git("push", "--quiet", url, "main")
    assert own.ended("alice/doomed")["status"] == "succeeded", "the name is free again"
    assert "Traceback" not in own.log()
    assert "is started again" not in own.log()


def test_a_repository_is_deleted_while_the_platform_stands_still_and_its_stage_runs(
    own: Platform, tmp_path: Path
) -> None:
    copy = new_copy(tmp_path / "copy", {
        "dvc.yaml": STUBBORN % {"at": tmp_path, "name": "one"}, "in.txt": "1\n",
    })  # fmt: skip
    copy.git("push", "--quiet", own.url("alice/doomed", "alice"), "main")
    wait((tmp_path / "one").exists, "its stage starts")
    own.stop()
    (run,) = own.runs("alice/doomed")
    assert alive(own, run["id"]), "stages outlive the platform"
    own.refmill("repo", "delete", "alice/doomed", "--yes")
    assert alive(own, run["id"]) == []
    assert list((own.data / "work").glob("*/")) == []
    own.start()
    assert json.loads(own.refmill("repo", "list", "--json")) == []


def test_archiving_lets_a_run_go_on_and_renaming_moves_its_address(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str, tmp_path: Path
) -> None:
    copy = project({"dvc.yaml": WAITS % {"at": tmp_path}, "in.txt": f"{name}\n"})
    url = platform.url(f"alice/{name}", "alice")
    copy.git("push", "--quiet", url, "main")
    wait((tmp_path / "begun").exists, "its stage starts")
    platform.refmill("repo", "change", f"alice/{name}", "--archive")
    copy.git("commit", "--quiet", "--allow-empty", "--message", "more")
    assert "is archived" in copy.git("push", url, "main", check=False).stderr
    platform.refmill("repo", "change", f"alice/{name}", "--name", f"new-{name}")
    assert run_of(platform, f"alice/new-{name}", 1)["status"] == "running"
    (tmp_path / "go").touch()
    run = platform.ended(f"alice/new-{name}")
    assert (run["status"], run["repository"]) == ("succeeded", f"alice/new-{name}")
    assert f"alice/new-{name}#1" in platform.refmill("show", f"alice/{name}#1")  # by its former name
    assert f"alice/new-{name}#1" in platform.refmill("show", f"alice/new-{name}#1")
    fetched = copy.git("ls-remote", platform.url(f"alice/new-{name}", "alice"), "refs/exps/*").stdout
    assert fetched.count("run-1") == 1
    copy.dvc("remote", "add", "-d", "refmill", platform.url(f"alice/new-{name}", "alice", ".dvc"))
    copy.git("fetch", "--quiet", platform.url(f"alice/new-{name}", "alice"), "refs/exps/*:refs/exps/*")
    result = copy.git("for-each-ref", "--format=%(refname)", "refs/exps").stdout.strip()
    copy.git("checkout", "--quiet", result)
    copy.dvc("pull", "--quiet")
    assert (copy.path / "a.txt").read_text() == f"{name}\n"
