"""Random projects by `dvc repro`, by `refmill run` and by a push, and once more after changes.

A failure prints the seed and the project; `python tests/conformance/generator.py SEED` prints it again. A day's own
seeds are tried with REFMILL_SEED: `REFMILL_SEED=70000 make test-all PYTEST_ARGS="-k random_project"`.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import pytest
from archive import Project, parse
from comparing import CLEAN, Refmill, assert_pushed, assert_settled, differences, entries, pull, push
from generator import make
from oracle import Oracle, shell, snapshot

from platforms import Platform
from warm import Warm

FIRST = int(os.environ.get("REFMILL_SEED", "1"))
project_of = functools.cache(make)


def seeds(few: int, count: int = 300) -> list[Any]:
    """So many seeds; all but a few of them in the full counts alone."""
    return [FIRST + n if n < few else pytest.param(FIRST + n, marks=pytest.mark.full) for n in range(count)]


@pytest.fixture
def project(seed: int) -> Project:
    return project_of(seed)


@pytest.fixture
def told(project: Project) -> str:
    """What is told of a project with a failure."""
    return f"\n{project}\n{project.source}"


@pytest.mark.parametrize("seed", seeds(30))
def test_a_random_project_runs_as_by_dvc(
    project: Project, told: str, started: Path, oracle: Oracle, refmill: Refmill, tmp_path: Path
) -> None:
    wanted = oracle.after(project)
    assert wanted.code == 0, wanted.said + told
    course = refmill.run(started)
    if shown := differences(snapshot(started), wanted.files):
        pytest.fail(f"{shown}\n{course.done}{told}", pytrace=False)
    assert course.ran == wanted.ran, told
    if not project.restless:
        assert oracle.says("status", started).stdout == CLEAN, told
        assert set(refmill.plan(started).values()) <= {"cached"}, told
    _assert_shown(project, started, oracle, tmp_path, told)
    if not project.restless:
        assert oracle.touches("commit", started) == [], told


@pytest.mark.parametrize("seed", seeds(0, 60))
def test_after_every_change_a_random_project_runs_again_as_by_dvc(
    project: Project, told: str, oracle: Oracle, refmill: Refmill, tmp_path: Path
) -> None:
    for what in project.change:
        _assert_changed(project, what, oracle, refmill, tmp_path / what.replace(" ", "-"), told)


@pytest.mark.parametrize("seed", seeds(15))
def test_after_a_change_a_random_project_runs_again_as_by_dvc(
    seed: int, project: Project, told: str, oracle: Oracle, refmill: Refmill, tmp_path: Path
) -> None:
    kinds = list(project.change)
    _assert_changed(project, kinds[seed % len(kinds)], oracle, refmill, tmp_path / "copy", told)


@pytest.mark.parametrize("seed", seeds(10, 60))
def test_a_push_of_a_random_project_records_what_dvc_repro_leaves(
    project: Project, told: str, started: Path, oracle: Oracle, dvc: Warm, platform: Platform, name: str, tmp_path: Path
) -> None:
    before = entries(started)  # `dvc push` sends what the commit's outputs in the cache need, and the pull asks for it
    pushed = push(platform, started, name, dvc)
    reference = oracle.done(project, tmp_path / "reference")
    ended = pushed.ended()
    assert ended[""] == "succeeded", f"{platform.log()[-3000:]}{told}"
    assert {stage for stage, status in ended.items() if stage and status == "succeeded"} == oracle.after(project).ran
    assert_pushed(pushed, reference, before, told)

    clone = pull(pushed, tmp_path / "clone", dvc)
    if not project.restless:
        assert_settled(clone, dvc, told)
    _assert_shown(project, clone, oracle, tmp_path, told)


def _assert_shown(project: Project, copy: Path, oracle: Oracle, tmp_path: Path, told: str) -> None:
    """Metrics and plots are told by DVC as after its own run."""
    reference = oracle.done(project, tmp_path / "shown") if project.show else copy
    for command in project.show:
        assert oracle.says(command, copy) == oracle.says(command, reference), told


def _assert_changed(project: Project, what: str, oracle: Oracle, refmill: Refmill, path: Path, told: str) -> None:
    command = project.change[what]
    copy = oracle.done(project, path)
    wanted = oracle.changed(project, command)
    shell(command, copy)
    plan = refmill.plan(copy)
    course = refmill.run(copy)
    told = f"\n{what}: {command}\n{course.done}\n{wanted.said}\n{plan}{told}"
    if shown := differences(snapshot(copy), wanted.files):
        pytest.fail(f"after {what}:\n{shown}{told}", pytrace=False)
    assert course.ran == wanted.ran, told
    assert {stage for stage, verdict in plan.items() if verdict == "run"} <= wanted.ran, told
    assert not {stage for stage, verdict in plan.items() if verdict == "cached"} & wanted.ran, told


def test_a_seed_gives_the_same_project_again() -> None:
    assert make(7).source == make(7).source
    assert make(7).source != make(8).source
    assert parse("again", make(7).source).files == make(7).files
