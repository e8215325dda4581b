"""Every project of the conformance suite that can be pushed, pushed to the cluster as it is: what `dvc repro` makes of it
comes back."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from archive import Project, projects
from comparing import Pushed, assert_as_by_dvc, entries, push
from oracle import Oracle

from platforms import Platform
from warm import Warm

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]
ALL = [project for project in projects() if not project.refused and not project.here]


@dataclass(frozen=True)
class Tried:
    """A project that was pushed, and the entries of its caches before."""

    pushed: Pushed
    before: set[str]


@pytest.fixture(scope="module")
def tried(
    request: pytest.FixtureRequest, platform: Platform, dvc: Warm, oracle: Oracle,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Tried]:  # fmt: skip
    """All that are asked for pushed, and over: together they take minutes, one after another an hour."""
    folder = tmp_path_factory.mktemp("projects")
    asked = [item.callspec.id for item in request.session.items if item.path == Path(__file__)]  # type: ignore[attr-defined]
    found: dict[str, Tried] = {}
    for project in (project for project in ALL if project.name in asked):
        root = oracle.start(project, folder / project.name)
        before = entries(root, project.folders)
        found[project.name] = Tried(push(platform, root, f"as-{project.name}", dvc, project.folders), before)
    for each in found.values():
        each.pushed.ended(seconds=1800)
    return found


@pytest.mark.parametrize("project", ALL, ids=str)
def test_a_push_to_the_cluster_records_what_dvc_repro_leaves(
    project: Project, tried: dict[str, Tried], oracle: Oracle, platform: Platform, tmp_path: Path
):
    one = tried[project.name]
    reference = oracle.done(project, tmp_path / "there")
    assert_as_by_dvc(one.pushed, project, oracle.after(project), reference, one.before)
    engines = platform.query(
        "SELECT DISTINCT engine FROM runs JOIN repositories ON repository_id = repositories.id WHERE name = ?",
        one.pushed.name,
    )
    assert engines == [("argo",)]
