"""docs/dvc.md names a project of the conformance suite for every feature, and tells the truth about what is refused."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/dvc.md").read_text(encoding="utf-8")
PROJECTS = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "tests/conformance/projects").glob("*.txt")}


def rows() -> dict[str, tuple[str, list[str]]]:
    """What the page says of each feature, and the projects that it names."""
    cells = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    return {feature: (says, re.findall(r"`([^`]+)`", named)) for feature, says, named in cells if feature != "Feature"}


def refused_kinds(project: str) -> list[str]:
    """The kinds of problems for which a project is refused."""
    found = re.search(r"^refused: (.*)$", PROJECTS[project].partition("\n-- ")[0], re.MULTILINE)
    return found[1].split() if found else []


def test_every_feature_names_projects_that_there_are() -> None:
    assert len(rows()) > 30
    for feature, (_, named) in rows().items():
        assert named, feature
        assert set(named) <= set(PROJECTS), feature


def test_every_project_stands_for_a_feature() -> None:
    assert {name for _, named in rows().values() for name in named} == set(PROJECTS)


def test_what_is_refused_is_refused_for_this_reason() -> None:
    for feature, (says, named) in rows().items():
        kinds = re.findall(r"refused: `([a-z-]+)`", says)
        for project in named:
            assert refused_kinds(project) == kinds, feature


def test_the_version_is_the_one_that_is_installed() -> None:
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    version = importlib.metadata.version("dvc")
    assert f"dvc=={version}" in pins
    assert f"the files of DVC {version.rpartition('.')[0]}:" in PAGE
