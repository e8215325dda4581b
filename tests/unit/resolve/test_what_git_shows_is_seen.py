"""Faults that only git's own tree shows: links, submodules, outputs that are committed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from refmill.clients.resolver import DirectResolver
from refmill.clients.worktree import WorkTree
from refmill.ports.resolver import Source
from refmill_repos.trees import GitTree


@pytest.fixture
def project(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("1")
    return tmp_path


def problems(project: Path, dvc_yaml: str) -> list[str]:
    (project / "dvc.yaml").write_text(dvc_yaml)
    subprocess.run(["git", "-C", project, "add", "-A"], check=True)
    subprocess.run(["git", "-C", project, "commit", "-qm", "x"], check=True)
    head = subprocess.run(["git", "-C", project, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    found = DirectResolver(lambda source: GitTree(source.path, source.commit)).check(
        Source(project / ".git", head.stdout.strip())
    )
    return [f"{problem.place} {problem.kind}{' warning' * problem.warning}" for problem in found.problems]


def test_files_and_directories_of_git_are_inputs(project: Path) -> None:
    assert problems(project, "stages:\n  a: {cmd: x, deps: [data, data/a.csv]}\n") == []


def test_a_link_is_not_followed(project: Path) -> None:
    (project / "link").symlink_to("data/a.csv")
    (project / "folder").symlink_to("data")
    stage = "stages:\n  a: {cmd: x, deps: [link, folder/a.csv], params: [link: [k]]}\n"
    assert problems(project, stage) == [
        "dvc.yaml:2:22 unsupported",
        "dvc.yaml:2:28 unsupported",
        "dvc.yaml:2:52 missing-params-file",
    ]


def test_a_link_inside_a_directory_is_not_followed(project: Path) -> None:
    (project / "data" / "b.csv").symlink_to("a.csv")
    assert problems(project, "stages:\n  a: {cmd: x, deps: [data]}\n") == ["dvc.yaml:2:22 unsupported"]


def test_a_linked_definition_is_not_read(project: Path) -> None:
    (project / "sub").mkdir()
    (project / "sub" / "dvc.yaml").symlink_to("../dvc.yaml")
    assert problems(project, "stages: {}\n") == ["sub/dvc.yaml unsupported"]


def test_a_submodule_is_refused(project: Path) -> None:
    entry = "160000,1234567890123456789012345678901234567890,module"
    subprocess.run(["git", "-C", project, "update-index", "--add", "--cacheinfo", entry], check=True)
    (project / "module").mkdir()
    assert problems(project, "stages:\n  a: {cmd: x, deps: [module/x]}\n") == ["dvc.yaml:2:22 unsupported"]


def test_an_output_in_git_is_told_unless_it_is_meant_for_git(project: Path) -> None:
    (project / "m.json").write_text("{}")
    stages = "stages:\n  a: {cmd: x, outs: [data]}\n  b: {cmd: x, metrics: [m.json: {cache: false}]}\n"
    assert problems(project, stages) == ["dvc.yaml:2:22 tracked-output warning"]


def test_what_git_ignores_in_a_working_copy_is_not_read(project: Path) -> None:
    (project / ".gitignore").write_text("/venv\nlocal.csv.dvc\n")
    (project / "venv" / "lib").mkdir(parents=True)
    (project / "venv" / "lib" / "dvc.yaml").write_text("stages: [")
    (project / "local.csv.dvc").write_text("[")
    (project / "own.csv.dvc").write_text("[")
    found = DirectResolver(lambda source: WorkTree(source.path)).check(Source(project))
    assert {problem.place.file for problem in found.problems} == {"own.csv.dvc"}
