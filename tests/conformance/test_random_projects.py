"""Random projects, each by `dvc repro` and by `refmill run`, and once more after a change.

A failure prints the seed and the project; `python tests/conformance/generator.py SEED` prints it again. A day's own
seeds are tried with REFMILL_SEED: `REFMILL_SEED=70000 make test-all PYTEST_ARGS="-k random_project"`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from archive import Project, parse
from comparing import Refmill, differences
from generator import make
from oracle import Oracle, shell, snapshot

FIRST = int(os.environ.get("REFMILL_SEED", "1"))
SEEDS = [
    FIRST + number if number < 30 else pytest.param(FIRST + number, marks=pytest.mark.full) for number in range(300)
]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_project_runs_as_by_dvc(seed: int, oracle: Oracle, refmill: Refmill, tmp_path: Path) -> None:
    project = make(seed)
    told = f"\nseed {seed}\n{project.source}"
    wanted = oracle.after(project)
    assert wanted.code == 0, wanted.said + told
    copy = oracle.start(project, tmp_path / "first")
    course = refmill.run(copy)
    if shown := differences(snapshot(copy), wanted.files):
        pytest.fail(f"{shown}\n{course.done}{told}", pytrace=False)
    assert course.ran == wanted.ran, told
    if not project.restless:
        status = oracle.says("status", copy)
        assert (status.code, status.stdout) == (0, "Data and pipelines are up to date.\n"), status.stdout + told
        assert set(refmill.plan(copy).values()) <= {"cached"}, told
    _change(project, oracle, refmill, tmp_path / "second", told)


def _change(project: Project, oracle: Oracle, refmill: Refmill, path: Path, told: str) -> None:
    (command,) = project.change.values()
    copy = oracle.done(project, path)
    wanted = oracle.changed(project, command)
    shell(command, copy)
    course = refmill.run(copy)
    if shown := differences(snapshot(copy), wanted.files):
        pytest.fail(f"after {command}:\n{shown}\n{course.done}\n{wanted.said}{told}", pytrace=False)
    assert course.ran == wanted.ran, f"after {command}: {wanted.said}{told}"


def test_a_seed_gives_the_same_project_again() -> None:
    assert make(7).source == make(7).source
    assert make(7).source != make(8).source
    assert parse("again", make(7).source).files == make(7).files
