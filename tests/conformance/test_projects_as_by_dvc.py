"""Each project by `dvc repro`, by `refmill run` and by a push: the same bytes everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from archive import Project, projects
from comparing import Refmill, differences, entries, push
from oracle import Oracle, ignores, snapshot, visible
from warm import Warm

from platforms import Platform
from refmill.formats.hashing import md5_bytes

ALL = list(projects())
TAKEN = [project for project in ALL if not project.refused]
REFUSED = [project for project in ALL if project.refused]


@pytest.mark.parametrize("project", TAKEN, ids=str)
def test_a_run_leaves_what_dvc_repro_leaves(project: Project, started: Path, oracle: Oracle, refmill: Refmill) -> None:
    wanted = oracle.after(project)
    assert wanted.code == project.code, wanted.said

    course = refmill.run(started, *project.flags)
    if shown := differences(snapshot(started), wanted.files, but=ignores if project.code else None):
        pytest.fail(f"{shown}\n{course.done}", pytrace=False)
    assert course.ran == wanted.ran, (course.done, wanted.said)
    assert (course.done.code == 0) == (project.code == 0), course.done
    left = snapshot(started)

    if project.code == 0 and not project.restless:
        status = oracle.says("status", started)
        assert (status.code, status.stdout) == (0, "Data and pipelines are up to date.\n"), status
        again = oracle.says("repro --all-pipelines", started)
        assert again.code == 0
        assert "Running" not in again.stdout, again
        assert "checking out" not in again.stdout, again
        assert snapshot(started) == left
        assert set(refmill.plan(started).values()) <= {"cached"}
        assert refmill.run(started).ran == set()
        assert snapshot(started) == left


@pytest.mark.parametrize("project", [project for project in TAKEN if project.show], ids=str)
def test_dvc_shows_the_same_after_a_run(
    project: Project, started: Path, oracle: Oracle, refmill: Refmill, tmp_path: Path
) -> None:
    reference = oracle.done(project, tmp_path / "there")
    refmill.run(started, *project.flags)
    for command in project.show:
        wanted, found = oracle.says(command, reference), oracle.says(command, started)
        assert found == wanted
        assert found.code == 0, found
        json.loads(found.stdout)


@pytest.mark.parametrize("project", [project for project in TAKEN if not project.here], ids=str)
def test_a_push_records_what_dvc_repro_leaves(
    project: Project, started: Path, oracle: Oracle, platform: Platform, name: str, dvc: Warm, tmp_path: Path
) -> None:
    before = entries(started)
    pushed = push(platform, started, name, dvc)
    reference = oracle.done(project, tmp_path / "there")
    wanted = oracle.after(project)
    ended = pushed.ended()
    if project.code:
        assert ended[""] == "failed"
        failed = {stage for stage, status in ended.items() if status == "failed" and stage}
        assert failed == {stage for stage in wanted.ran if f"failed to reproduce '{stage}'" in wanted.said}
        return
    assert ended[""] in {"succeeded", "nothing"}, platform.log()[-3000:]
    ran = {stage for stage, status in ended.items() if status == "succeeded" and stage}
    recorded = pushed.recorded()
    assert recorded == visible(reference)
    if ran:
        # The run-cache of earlier runs elsewhere does not travel with a push.
        _in_store(pushed.stored(), entries(reference) - {path for path in before if path.startswith("runs/")}, recorded)


def _in_store(stored: set[str], wanted: set[str], recorded: dict[str, bytes]) -> None:
    """The store holds what DVC's cache holds, and beyond it only what lives in git."""
    more = {md5_bytes(data) for data in recorded.values()}
    assert wanted - stored == set()
    beyond = {path for path in stored - wanted if not path.endswith(".dir")}
    assert beyond <= {f"files/md5/{md5[:2]}/{md5[2:]}" for md5 in more}


@pytest.mark.parametrize("project", REFUSED, ids=str)
def test_what_is_not_supported_is_refused_by_name(
    project: Project, started: Path, oracle: Oracle, refmill: Refmill
) -> None:
    assert oracle.after(project).code == project.code
    before = snapshot(started)
    found = {problem["kind"] for problem in refmill.problems(started) if not problem["warning"]}
    assert found == set(project.refused)
    assert refmill.run(started).done.code == 3
    assert snapshot(started) == before
