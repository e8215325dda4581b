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


def test_links_inside_the_project_are_followed(project: Path) -> None:
    (project / "q.yaml").write_text("k: 1\n")
    for name, target in {"link": "data/a.csv", "folder": "data", "p.yaml": "q.yaml", "data/b.csv": "a.csv"}.items():
        (project / name).symlink_to(target)
    stage = "stages:\n  a: {cmd: x, deps: [link, folder/a.csv, data, folder], params: [p.yaml: [k, l]]}\n"
    assert problems(project, stage) == ["dvc.yaml:2:78 missing-param"]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/etc/hostname", "dvc.yaml:2:22 unsupported"),
        ("../../../etc/hostname", "dvc.yaml:2:22 unsupported"),
        ("../folder/../..", "dvc.yaml:2:22 unsupported"),
        ("self", "dvc.yaml:2:22 unsupported"),
        ("../made/part", "dvc.yaml:2:22 unsupported"),
        ("nowhere", "dvc.yaml:2:22 broken-link"),
    ],
)
def test_links_that_lead_out_or_nowhere_or_to_what_a_stage_writes_are_refused(
    project: Path, target: str, expected: str
) -> None:
    (project / "data" / "self").symlink_to(target)
    made = "  m: {cmd: x, outs: [made]}\n"
    assert problems(project, "stages:\n  a: {cmd: x, deps: [data]}\n" + made) == [expected]
    other = "dvc.yaml:2:22 missing-dependency warning" if "broken" in expected else expected
    assert problems(project, "stages:\n  a: {cmd: x, deps: [data/self]}\n" + made) == [other]
    (project / ".dvcignore").write_text("self\n")
    assert problems(project, "stages:\n  a: {cmd: x, deps: [data]}\n" + made) == []


def test_an_output_behind_a_link_is_refused(project: Path) -> None:
    (project / "folder").symlink_to("data")
    assert problems(project, "stages:\n  a: {cmd: x, outs: [folder/o]}\n") == ["dvc.yaml:2:22 unsupported"]


def test_files_that_git_lfs_keeps_are_refused_by_name(project: Path) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n"
    (project / "data" / "big.bin").write_text(pointer)
    stage = "stages:\n  a: {cmd: x, deps: [data/big.bin]}\n  b: {cmd: x, deps: [data, data/a.csv]}\n"
    assert problems(project, stage) == [], "without the attribute it is a text like any other"
    (project / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    assert problems(project, stage) == ["dvc.yaml:2:22 lfs-pointer", "dvc.yaml:3:22 lfs-pointer"]
    (project / "p.yaml").symlink_to("data/big.bin")
    stage = "stages:\n  a: {cmd: x, deps: [data/a.csv], params: [p.yaml: [a]]}\n"
    assert problems(project, stage) == ["dvc.yaml:2:44 lfs-pointer"]


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
