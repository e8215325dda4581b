"""What is remembered of a working copy is what a fresh look at it gives."""

import os
import sqlite3
import time
from pathlib import Path

import pytest

from fakes.dvc_projects import PROJECTS, write
from refmill.clients import dvc_parsing, tagged
from refmill.clients.remembering import Durations, HashMemory, Resolution, ResolutionMemory, shapes
from refmill.clients.remembering.resolution import RecordingTree
from refmill.clients.worktree import WorkTree
from refmill.errors import Damaged
from refmill.formats.directories import hash_file
from refmill.model.pipelines import Pipeline
from refmill.model.plans import Plan
from refmill.plans import estimate


def old(path: Path) -> None:
    """Long enough ago for a file to be remembered."""
    time.sleep(0.05)


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, database = tmp_path / "file", tmp_path / "memory" / "hashes.db"
    file.write_bytes(b"one")
    old(file)
    first = HashMemory(database)
    found = first(file)
    first.save()
    monkeypatch.setattr("refmill.formats.directories.hash_file", lambda *_, **__: pytest.fail("read again"))
    assert first(file) == found
    assert HashMemory(database)(file) == found


@pytest.mark.parametrize("save", [True, False])
def test_a_changed_file_is_read_again(save: bool, tmp_path: Path) -> None:
    file = tmp_path / "file"
    memory = HashMemory(tmp_path / "hashes.db")
    for content in (b"one", b"two", b"six"):
        status = file.stat() if file.exists() else None
        file.write_bytes(content)
        if status:  # the same size and the same time of change: only the inode's own time tells
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        old(file)
        assert memory(file) == hash_file(file)
        if save:
            memory.save()
            memory = HashMemory(tmp_path / "hashes.db")


def test_a_file_that_has_just_changed_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def coarse(status: os.stat_result) -> tuple[int, int, int, int]:
        """As a file system has it whose clock ticks a hundred times a second."""
        tick = 10_000_000
        return status.st_size, status.st_mtime_ns // tick * tick, status.st_ctime_ns // tick * tick, status.st_ino

    monkeypatch.setattr("refmill.clients.remembering.hashes._signs", coarse)
    file = tmp_path / "file"
    memory = HashMemory(tmp_path / "hashes.db")
    for number in range(200):  # all within a few ticks of the clock, all of the same size
        file.write_bytes(b"%03d" % number)
        assert memory(file) == hash_file(file)


def test_a_memory_that_cannot_be_used_is_done_without(tmp_path: Path) -> None:
    database, file = tmp_path / "hashes.db", tmp_path / "file"
    database.write_bytes(b"this is no database" * 100)
    file.write_bytes(b"one")
    old(file)
    memory = HashMemory(database)
    assert memory(file) == hash_file(file)
    memory.save()
    with sqlite3.connect(database) as opened:
        assert opened.execute("SELECT count(*) FROM hashes").fetchone() == (1,)
    opened.close()


def test_modes_are_told_as_they_are_now(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one")
    old(file)
    memory = HashMemory(tmp_path / "hashes.db")
    assert not memory(file).isexec
    file.chmod(0o755)
    assert memory(file).isexec


@pytest.mark.parametrize("name", sorted(PROJECTS))
def test_a_pipeline_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    write(PROJECTS[name], tmp_path)
    checked = dvc_parsing.check(WorkTree(tmp_path), max_stages=1000)
    assert checked.pipeline is not None
    resolution = Resolution(checked.pipeline, checked.problems, ("dvc.yaml",))
    assert shapes.build(Resolution, tagged.loads(tagged.dumps(resolution))) == resolution


@pytest.mark.parametrize("body", ['{"stages": []}', '{"order": [1]}', '{"stages": {"a": {"name": 1}}}', "[]", '"x"'])
def test_what_is_of_another_shape_is_refused(body: str) -> None:
    with pytest.raises(Damaged):
        shapes.build(Pipeline, tagged.loads(body))
    with pytest.raises(Damaged):
        shapes.build(Plan, tagged.loads('{"stages": [{"verdict": "perhaps"}]}'))


def test_a_resolution_is_recalled_as_long_as_every_answer_is_the_same(tmp_path: Path) -> None:
    write(PROJECTS["nested files"], tmp_path)
    memory = ResolutionMemory(tmp_path / ".dvc" / "tmp" / "memory.json")
    tree = RecordingTree(WorkTree(tmp_path))
    checked = dvc_parsing.check(tree, max_stages=1000, ignored=lambda path: False)
    assert checked.pipeline is not None
    memory.keep(Resolution(checked.pipeline, (), ("dvc.yaml",)), tree, {"a/": False})

    def recalled() -> Pipeline | None:
        found = memory.recall(WorkTree(tmp_path), lambda path: False)
        return found and found.pipeline

    assert recalled() == checked.pipeline
    assert memory.recall(WorkTree(tmp_path), lambda path: True) is None  # git ignores now what it did not
    (tmp_path / "b" / "out.txt").write_text("an output")
    assert recalled() == checked.pipeline
    (tmp_path / "c").mkdir()
    assert recalled() is None
    (tmp_path / "c").rmdir()
    (tmp_path / "b" / "in.csv.dvc").unlink()
    assert recalled() is None


def test_durations_are_kept_and_added_to(tmp_path: Path) -> None:
    durations = Durations(tmp_path / "below" / "durations.json")
    assert durations.load() == {}
    durations.note({"a": 1.5})
    durations.note({"b": 2.0})
    assert durations.load() == {"a": 1.5, "b": 2.0}
    (tmp_path / "below" / "durations.json").write_text("[1]")
    assert durations.load() == {}


def test_an_estimate_puts_stages_on_workers() -> None:
    upstream = {"b": ["a"], "c": ["a"], "d": ["b", "c"]}
    before = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 1.0}
    assert estimate.remaining("abcd", {}, upstream, before, 2).seconds == 1 + 3 + 1
    assert estimate.remaining("abcd", {}, upstream, before, 1).seconds == 7
    assert estimate.remaining("bcd", {"a": 0.5}, upstream, before, 2).seconds == 4.5
    assert estimate.remaining("bcd", {"a": 9.0}, upstream, before, 2).seconds == 4
    assert estimate.remaining("abcd", {}, upstream, {"a": 1.0}, 2) == estimate.Estimate(1.0, 3)
    assert estimate.remaining("", {}, {}, {}, 2) == estimate.Estimate(0.0, 0)
