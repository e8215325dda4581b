"""Directories: which files count, which links may be followed, and listings that somebody made up."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from refmill.errors import Damaged
from refmill.formats import directories, hashing

MD5 = "0" * 32


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    for path in (
        "out/a",
        "out/sub/b",
        "out/.git/config",
        "out/sub/.dvc/x",
        "out/.gitignore",
        "out/deep/.hg/y",
        "other",
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    (root / "out/empty").mkdir()
    (tmp_path / "secret").write_text("secret")
    return root


def names(path: Path, **options: Path) -> list[str]:
    return [entry.relpath for entry in directories.hash_directory(path, **options).listing.entries]


def test_what_dvc_leaves_out_is_left_out(workspace: Path) -> None:
    assert names(workspace / "out") == [".gitignore", "a"]
    assert directories.is_ignored("x/.git/y")
    assert directories.is_ignored(".git")
    assert not directories.is_ignored("x/.gitignore")


def test_links_inside_count_as_what_they_lead_to(workspace: Path) -> None:
    (workspace / "out/link").symlink_to("../other")
    (workspace / "out/folder").symlink_to("sub")
    found = directories.hash_directory(workspace / "out", inside=workspace)
    assert found.files["link"].md5 == hashing.md5_bytes(b"other")
    assert "folder/b" not in found.files


@pytest.mark.parametrize("target", ["../../secret", "/etc/hostname", "nowhere"])
def test_links_that_lead_out_or_nowhere_are_refused(workspace: Path, target: str) -> None:
    (workspace / "out/link").symlink_to(target)
    with pytest.raises(Damaged, match="link"):
        directories.hash_directory(workspace / "out", inside=workspace)


def test_an_output_that_is_itself_a_link_out_is_refused(workspace: Path) -> None:
    (workspace / "all").symlink_to("..")
    with pytest.raises(Damaged):
        directories.hash_directory(workspace / "all", inside=workspace)


def test_a_pipe_is_refused_and_not_waited_for(workspace: Path) -> None:
    os.mkfifo(workspace / "out/pipe")
    with pytest.raises(Damaged, match="neither"):
        directories.hash_directory(workspace / "out")


def test_a_dvcignore_inside_is_refused_as_by_dvc(workspace: Path) -> None:
    (workspace / "out/.dvcignore").write_text("a\n")
    with pytest.raises(Damaged, match="dvcignore"):
        directories.hash_directory(workspace / "out")


@pytest.mark.parametrize(
    "paths",
    [
        ["/etc/x"],
        ["../x"],
        ["a/../../x"],
        ["a//b"],
        ["."],
        [""],
        ["a/"],
        ["a\0b"],
        ["a", "a"],
        ["a", "a/b"],
        ["a/b/c", "a/b"],
    ],
)
def test_paths_of_a_listing_stay_inside_and_are_files(paths: list[str]) -> None:
    with pytest.raises(Damaged):
        directories.parse(json.dumps([{"md5": MD5, "relpath": path} for path in paths]).encode())


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[1]", b'[{"md5": "x", "relpath": "a"}]', b'[{"relpath": "a"}]', b"[" * 100_000, b"\xff",
     json.dumps([{"md5": MD5 + ".dir", "relpath": "a"}]).encode()],
)  # fmt: skip
def test_what_is_no_listing_is_refused(data: bytes) -> None:
    with pytest.raises(Damaged):
        directories.parse(data)


def test_a_part_of_a_listing() -> None:
    listing = directories.Listing.of([("b/c/d", MD5), ("b.c", MD5), ("b/a", MD5)])
    assert [entry.relpath for entry in listing.entries] == ["b.c", "b/a", "b/c/d"]
    assert [entry.relpath for entry in listing.below("b").entries] == ["a", "c/d"]
