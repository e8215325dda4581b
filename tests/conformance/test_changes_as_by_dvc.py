"""One change after a run: `refmill run` runs again what `dvc repro` runs again, and leaves the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from archive import Project, projects
from comparing import Refmill, differences
from oracle import Oracle, shell, snapshot

CHANGES = [
    pytest.param(project, change, id=f"{project.name}: {change}")
    for project in projects()
    for change in ([] if project.refused else project.change)
]


@pytest.mark.parametrize(("project", "change"), CHANGES)
def test_a_change_runs_again_what_dvc_runs_again(
    project: Project, change: str, oracle: Oracle, refmill: Refmill, tmp_path: Path
) -> None:
    copy = oracle.done(project, tmp_path / "copy")
    wanted = oracle.changed(project, project.change[change])
    shell(project.change[change], copy)

    plan = refmill.plan(copy)
    course = refmill.run(copy, *project.flags)
    told = f"\n{course.done}\n{wanted.said}\nplan: {plan}"
    if shown := differences(snapshot(copy), wanted.files):
        pytest.fail(shown + told, pytrace=False)
    assert (course.done.code == 0) == (wanted.code == 0), told
    assert course.ran == wanted.ran, told
    assert {stage for stage, verdict in plan.items() if verdict == "run"} <= wanted.ran, told
    assert not {stage for stage, verdict in plan.items() if verdict == "cached"} & wanted.ran, told
    assert ("blocked" in plan.values()) == (wanted.code != 0), told
