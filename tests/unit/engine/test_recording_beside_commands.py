"""A run in a working copy: what is left to do with a stage when its command is over keeps no other from starting."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from platforms import Copy, new_copy, wait
from refmill.engine.dvclocks import DvcLocks
from refmill.engine.inplace import InPlace, Place
from refmill.formats.directories import Hasher, hash_file
from refmill.formats.hashing import FileHash
from refmill.model.runs import StageStatus
from refmill.plans import make
from refmill.texts import Text
from refmill_web import local


class Quiet:
    """Keeps the last state of each stage."""

    def __init__(self) -> None:
        self.last: dict[str, str] = {}

    def stage(self, address: str, status: StageStatus, seconds: float | None, why: Text | None) -> None:
        self.last[address] = status

    def line(self, address: str, line: str) -> None:
        pass


class Unhurried(DvcLocks):
    """Lets a moment pass before what a command made is recorded."""

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.5)
        with super().held():
            yield


def ran(copy: Copy, jobs: int, hasher: Hasher = hash_file, locks: DvcLocks | None = None) -> dict[str, str]:
    """How each stage ended; `hasher` hashes what the commands made."""
    project = local.open_project(copy.path)
    memory, report = project.memory, Quiet()
    plan = make.make(project.pipeline, memory)
    InPlace(plan, Place(copy.path, memory, hasher=hasher), report, jobs=jobs, locks=locks).run()
    return report.last


def pipeline(folder: Path, **commands: str) -> Copy:
    """A project with a stage for each command, whose output is NAME.txt."""
    stages = "".join(f"  {name}: {{cmd: '{command}', outs: [{name}.txt]}}\n" for name, command in commands.items())
    return new_copy(folder, {"dvc.yaml": f"stages:\n{stages}"})


def test_a_command_starts_while_the_result_of_another_is_hashed(tmp_path: Path) -> None:
    copy = pipeline(
        tmp_path / "here",
        first="echo 1 > first.txt",
        second="until test -e third.txt; do sleep 0.05; done; echo 2 > second.txt",
        third="echo 3 > third.txt",
    )

    def slow(path: Path, *, inside: Path | None = None) -> FileHash:
        if path.name == "first.txt":
            wait((copy.path / "third.txt").exists, "the third stage starts")
        return hash_file(path, inside=inside)

    assert ran(copy, 2, slow) == dict.fromkeys(["first", "second", "third"], "succeeded")
    assert copy.dvc("status", "-q").returncode == 0


def test_with_one_job_a_stage_starts_when_the_one_before_it_is_recorded(tmp_path: Path) -> None:
    copy = pipeline(tmp_path / "here", first="echo 1 > first.txt", second="echo 2 > second.txt")
    seen: list[bool] = []

    def slow(path: Path, *, inside: Path | None = None) -> FileHash:
        time.sleep(0.5)
        seen.append((copy.path / "second.txt").exists())
        return hash_file(path, inside=inside)

    assert ran(copy, 1, slow) == dict.fromkeys(["first", "second"], "succeeded")
    assert seen[0] is False


def test_no_stage_starts_after_one_that_did_not_make_its_output(tmp_path: Path) -> None:
    copy = pipeline(tmp_path / "here", first="true", second="sleep 2; echo 2 > second.txt", third="echo 3 > third.txt")
    ended = ran(copy, 2, locks=Unhurried(copy.path))
    assert ended == {"first": "failed", "second": "succeeded", "third": "skipped"}
    assert not (copy.path / "third.txt").exists()


def test_there_are_never_more_commands_than_jobs(tmp_path: Path) -> None:
    counted = "touch running-$$; ls | grep -c running- >> ../counts; sleep 0.1; rm running-$$; echo 1 > {name}.txt"
    names = [f"s{number}" for number in range(12)]
    copy = pipeline(tmp_path / "here", **{name: counted.format(name=name) for name in names})
    assert ran(copy, 3) == dict.fromkeys(names, "succeeded")
    counts = [int(line) for line in (tmp_path / "counts").read_text().split()]
    assert len(counts) == len(names)
    assert max(counts) <= 3


def test_what_is_being_recorded_when_a_run_is_interrupted_is_not_lost(tmp_path: Path) -> None:
    copy = pipeline(tmp_path / "here", first="echo 1 > first.txt", second="echo > begun; sleep 60; echo 2 > second.txt")

    def slow(path: Path, *, inside: Path | None = None) -> FileHash:
        if path.name == "first.txt":
            wait((copy.path / "begun").exists, "the second stage runs")
            time.sleep(0.5)  # until the run waits again: within its locks an interruption in this process keeps them
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            time.sleep(1)
        return hash_file(path, inside=inside)

    with pytest.raises(KeyboardInterrupt):
        ran(copy, 2, slow)
    status = json.loads(copy.dvc("status", "--json").stdout)
    assert status.keys() == {"second"}
