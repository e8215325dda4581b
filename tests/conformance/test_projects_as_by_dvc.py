"""Each project by `dvc repro`, by `refmill run` and by a push: the same bytes everywhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from archive import Project, projects
from comparing import Refmill, assert_as_by_dvc, assert_settled, differences, entries, pull, push
from oracle import Oracle, ignores, named, shell, snapshot

from platforms import Platform
from warm import Warm

ALL = list(projects())
TAKEN = [project for project in ALL if not project.refused]
REFUSED = [project for project in ALL if project.refused]


UNCOMMITTED = {"frozen", "lock-edited-by-hand"}
"""DVC itself does not commit a frozen stage whose input has changed; and what people wrote otherwise it writes anew."""


@pytest.mark.parametrize("project", TAKEN, ids=str)
def test_a_run_leaves_what_dvc_repro_leaves(project: Project, started: Path, oracle: Oracle, refmill: Refmill) -> None:
    wanted = oracle.after(project)
    assert wanted.code == project.code, wanted.said

    course = refmill.run_all(started, project)
    if shown := differences(snapshot(started), wanted.files, but=ignores if project.code else None):
        pytest.fail(f"{shown}\n{course.done}", pytrace=False)
    assert course.ran == wanted.ran, (course.done, wanted.said)
    assert (course.done.code == 0) == (project.code == 0), course.done
    left = snapshot(started)

    if project.code == 0 and not project.restless:
        for folder in project.folders:
            status = oracle.says("status", started, folder)
            assert (status.code, status.stdout) == (0, "Data and pipelines are up to date.\n"), status
            again = oracle.says("repro --all-pipelines", started, folder)
            assert again.code == 0
            assert "Running" not in again.stdout, again
            assert "checking out" not in again.stdout, again
            assert snapshot(started) == left
            assert set(refmill.plan(started / folder).values()) <= {"cached"}
            assert refmill.run(started / folder).ran == set()
            assert snapshot(started) == left
        if project.name not in UNCOMMITTED:
            assert all(oracle.touches("commit", started, folder) == [] for folder in project.folders)


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
    before = entries(started, project.folders)
    pushed = push(platform, started, name, dvc, project.folders)
    reference, wanted = oracle.done(project, tmp_path / "there"), oracle.after(project)
    assert_as_by_dvc(pushed, project, wanted, reference, before)


PULLED = {
    "chain", "cache-false", "directories-mixed", "line-ends", "lock-committed", "lock-of-dvc-2", "metrics-and-plots", "names",
    "shape-get-started", "tops", "tracked-data",
}  # fmt: skip
UNPULLABLE = {"texts-and-meta"}
"""What names a remote that nobody has: `dvc pull` refuses that by itself."""


@pytest.mark.parametrize(
    "project",
    [
        pytest.param(item, marks=[] if item.name in PULLED else pytest.mark.full, id=item.name)
        for item in TAKEN
        if not item.here and not item.code and item.folders == ("",) and item.name not in UNPULLABLE
    ],
)
def test_a_clone_of_what_a_push_recorded_is_as_after_dvc_repro(
    project: Project, started: Path, oracle: Oracle, platform: Platform, name: str, dvc: Warm, tmp_path: Path
) -> None:
    pushed = push(platform, started, name, dvc)
    assert pushed.ended()[""] in {"succeeded", "nothing"}
    clone = pull(pushed, tmp_path / "clone", dvc)
    if not project.restless:
        assert_settled(clone, dvc)
    reference = oracle.done(project, tmp_path / "there")
    for command in project.show:
        if " diff " not in f"{command} ":  # the clone has committed what the reference has not
            assert oracle.says(command, clone) == oracle.says(command, reference)


LOST = "git clean -qfdx -e .dvc && git checkout -q . && git ls-files -z '*.dvc' | xargs -0r dvc checkout -q --"
"""All that a run left is lost, but for the cache and what `dvc add` tracks."""
FEW = {"chain", "cache-false", "directories", "metrics-and-plots", "names", "params-formats", "shape-get-started"}
NOT = {"cache-elsewhere", "sub-project"}
"""The oracle does not keep a cache that lies outside; `dvc checkout` of LOST would have to know the directory."""


@pytest.mark.parametrize(
    "project",
    [
        pytest.param(item, marks=[] if item.name in FEW else pytest.mark.full, id=item.name)
        for item in TAKEN
        if item.name not in NOT
    ],
)
def test_dvc_restores_from_the_run_cache_what_refmill_ran(
    project: Project, started: Path, oracle: Oracle, refmill: Refmill, dvc: Warm
) -> None:
    wanted = oracle.changed(project, LOST)
    refmill.run_all(started, project)
    shell(LOST, started)
    ran: set[str] = set()
    for folder in project.folders:
        done = dvc.run(["repro", "--all-pipelines", *project.flags], started / folder)
        ran |= {named(folder, stage) for stage in re.findall(r"^Running stage '(.+)':$", done.stdout, re.MULTILINE)}
    assert ran == wanted.ran, (done, wanted.said)
    if shown := differences(snapshot(started), wanted.files):
        pytest.fail(f"{shown}\n{done}", pytrace=False)


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
