"""A working copy as a tree: links are named and never followed, nothing outside can be reached."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from refmill.clients.worktree import WorkTree
from refmill.errors import LimitExceeded, NotFound
from refmill.ports.trees import Entry


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("secret")
    root = tmp_path / "work"
    for path in ("a", "d/b", ".git/config", ".dvc/config", ".dvc/cache/x", ".dvc/tmp/y", "module/.git", "module/x"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    (root / "out").symlink_to("..")
    (root / "leak").symlink_to("../secret")
    os.mkfifo(root / "pipe")
    return root


@pytest.mark.parametrize(
    "path", ["out/secret", "../secret", "/etc/hostname", "leak", "d/../../secret", "d//b", "./a", "a\0", "pipe"]
)
def test_nothing_outside_is_read(root: Path, path: str) -> None:
    with pytest.raises(NotFound):
        WorkTree(root).read(path)
    with pytest.raises(NotFound):
        WorkTree(root).md5(path)


def test_what_dvc_and_git_keep_for_themselves_is_not_there(root: Path) -> None:
    tree = WorkTree(root)
    assert [path for path, _ in tree.walk()] == [".dvc/config", "a", "d/b", "leak", "module", "out"]
    assert tree.entry(".git") is None
    assert tree.entry(".git/config") is None
    assert tree.entry(".dvc/cache/x") is None
    assert tree.entry("module") == Entry("submodule")
    assert tree.entry("leak") == Entry("link")
    assert tree.entry("pipe") is None


def test_a_root_that_is_reached_through_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(root)
    assert WorkTree(tmp_path / "way").read("a") == b"a"


def test_limits(root: Path) -> None:
    with pytest.raises(LimitExceeded):
        WorkTree(root).read("d/b", limit=2)
