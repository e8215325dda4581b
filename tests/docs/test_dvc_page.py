"""docs/dvc.md names for every feature a project of the conformance suite, or a test that there is, and tells the truth
about what is refused."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/dvc.md").read_text(encoding="utf-8")
PROJECTS = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "tests/conformance/projects").glob("*.txt")}


def rows() -> dict[str, tuple[str, list[str]]]:
    """What the page says of each feature, and the projects and tests that it names."""
    cells = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    return {feature: (says, re.findall(r"`([^`]+)`", named)) for feature, says, named in cells if feature != "Feature"}


def is_test(named: str) -> bool:
    """Whether something named is a test, `FILE::FUNCTION` below tests/, and not a project."""
    return "::" in named


def is_there(test: str) -> bool:
    """Whether the file has a test of that name."""
    file, _, function = test.partition("::")
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in tree.body)


def refused_kinds(project: str) -> list[str]:
    """The kinds of problems for which a project is refused."""
    found = re.search(r"^refused: (.*)$", PROJECTS[project].partition("\n-- ")[0], re.MULTILINE)
    return found[1].split() if found else []


def test_every_feature_names_projects_or_tests_that_there_are() -> None:
    assert len(rows()) > 30
    for feature, (_, named) in rows().items():
        assert named, feature
        assert {name for name in named if not is_test(name)} <= set(PROJECTS), feature
        assert all(is_there(name) for name in named if is_test(name)), feature


def test_every_project_stands_for_a_feature() -> None:
    named = {name for _, names in rows().values() for name in names}
    assert {name for name in named if not is_test(name)} == set(PROJECTS)


def test_every_test_that_is_named_in_the_prose_is_there() -> None:
    prose = "".join(line for line in PAGE.splitlines() if not line.startswith("|"))
    named = re.findall(r"`tests/([\w/]+\.py)`", prose)
    assert named
    assert all((ROOT / "tests" / file).exists() for file in named)


def test_what_is_refused_is_refused_for_this_reason() -> None:
    for feature, (says, named) in rows().items():
        kinds = re.findall(r"refused: `([a-z-]+)`", says)
        for project in (name for name in named if not is_test(name)):
            assert refused_kinds(project) == kinds, feature


def test_the_version_is_the_one_that_is_installed() -> None:
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    version = importlib.metadata.version("dvc")
    assert f"dvc=={version}" in pins
    assert f"the files of DVC {version.rpartition('.')[0]}:" in PAGE
