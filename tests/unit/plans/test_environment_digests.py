"""What makes a stage's environment another one, and what a plan says of a result that was made in the old one."""

from pathlib import Path
from typing import Any

import pytest

from refmill.clients.objects import DirectoryObjects, DirectoryRunCache
from refmill.clients.worktree import WorkTree
from refmill.formats import runcache
from refmill.model.pipelines import Dependency, LockEntry, Output, Pipeline, Stage
from refmill.model.runs import Made
from refmill.plans import digests, environments, make
from refmill.plans.decide import Memory
from refmill.specs import Documents, PipelineSpec, StageOverride

STAGE = Stage("train", "dvc.yaml", "", "train", deps=(Dependency("a", "a"),), outs=(Output("m", "m"),))
PIPELINE = Pipeline({"train": STAGE}, order=("train",))


def digest(root: Path, **said: Any) -> str:
    documents = Documents(PipelineSpec(stages={"train": StageOverride(**said)}))
    return digests.digests(documents, PIPELINE, WorkTree(root))["train"]


def other_parts(old: str, new: str) -> list[str]:
    entry: LockEntry = {"cmd": "train"}
    reason = environments.changed(entry, [Made(entry, old)], new)
    return reason.subject.split(", ") if reason else []


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "requirements.txt").write_text("numpy\n-r deep/more.txt\n")
    (tmp_path / "deep" / "more.txt").write_text("--constraint=../limits.txt  # a comment\nscipy\n")
    (tmp_path / "limits.txt").write_text("scipy<2\n-r requirements.txt\n")
    return tmp_path


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ({"image": "python:3.12"}, "image"), ({"env": {"A": "1"}}, "env"), ({"secrets": {"KEY": "key"}}, "secrets"),
        ({"requirements": ""}, "requirements"), ({"cpu": 4.0, "memory": 1, "retries": 3, "timeout": 9.0}, ""),
        ({"requirements": "requirements.txt"}, ""),
    ],
)  # fmt: skip
def test_each_setting_of_what_a_stage_runs_in_counts_and_no_other(root: Path, said: dict[str, Any], part: str) -> None:
    assert other_parts(digest(root), digest(root, **said)) == ([part] if part else [])


@pytest.mark.parametrize("file", ["requirements.txt", "deep/more.txt", "limits.txt"])
def test_a_requirements_file_counts_with_all_that_it_includes(root: Path, file: str) -> None:
    before = digest(root)
    with (root / file).open("a") as more:
        more.write("pandas\n")
    assert other_parts(before, digest(root)) == ["requirements"]
    (root / file).unlink()
    assert other_parts(before, digest(root)) == ["requirements"]


def test_a_digest_fits_into_its_column(root: Path) -> None:
    assert len(digest(root, env={"A": "x" * 1000})) <= 64


class Past:
    """A repository's objects and results; `plan` says what a push would do."""

    def __init__(self, root: Path) -> None:
        self.objects, self.runcache = DirectoryObjects(root / "o"), DirectoryRunCache(root / "o")
        (root / "project").mkdir()
        (root / "project" / "a").write_text("1")
        self.tree = WorkTree(root / "project")
        self.made: list[Made] = []

    def result(self, content: str, environment: str) -> LockEntry:
        md5, size = self.tree.md5("a")
        out = self.objects.write(content.encode())
        entry: LockEntry = {
            "cmd": "train", "deps": [{"path": "a", "hash": "md5", "md5": md5, "size": size}],
            "outs": [{"path": "m", "hash": "md5", "md5": out, "size": len(content)}],
        }  # fmt: skip
        self.runcache.save(runcache.key(entry), runcache.value(entry), entry)
        self.made.append(Made(entry, environment))
        return entry

    def plan(self, environment: str, locked: LockEntry | None = None) -> tuple[str, str, LockEntry]:
        pipeline = Pipeline({"train": STAGE}, order=("train",), lock={"train": locked} if locked else {})
        memory = Memory(self.objects, self.runcache, self.tree, lambda _: self.made)
        (item,) = make.make(pipeline, memory, environments={"train": environment} if environment else None).stages
        return item.verdict, item.reasons[0].kind, item.entry


def test_where_the_environment_counts_only_its_own_results_are_taken_over(tmp_path: Path) -> None:
    past = Past(tmp_path)
    first = past.result("one", "e1")
    assert past.plan("e1") == ("cached", "run-cache", first)
    assert past.plan("e2")[:2] == ("run", "environment")
    assert past.plan("") == ("cached", "run-cache", first)
    assert past.plan("e2", first)[:2] == ("run", "environment")
    second = past.result("two", "e2")
    assert past.plan("e2") == ("cached", "run-cache", second)
    assert past.plan("e1", first) == ("cached", "unchanged", first)


def test_a_result_of_the_same_environment_is_found_behind_a_lock_of_another(tmp_path: Path) -> None:
    past = Past(tmp_path)
    first, second = past.result("one", "e1"), past.result("two", "e2")
    assert past.plan("e2", first)[2] == second
    assert past.plan("e1")[2] == first
    past.objects.path(second["outs"][0]["md5"]).unlink()
    assert past.plan("e2", first)[:2] == ("run", "environment")


def test_one_result_of_two_environments_is_good_in_both(tmp_path: Path) -> None:
    past = Past(tmp_path)
    entry = past.result("same", "e1")
    past.result("same", "e2")
    assert past.plan("e1", entry) == past.plan("e2", entry) == ("cached", "unchanged", entry)


def test_a_result_of_which_nobody_knows_the_environment_is_taken_over(tmp_path: Path) -> None:
    past = Past(tmp_path)
    entry = past.result("one", "e1")
    past.made.clear()
    assert past.plan("e2", entry) == ("cached", "unchanged", entry)
