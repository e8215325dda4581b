"""What every `ports.trees.Tree` does: one suite for all implementations.

The rule to keep: another implementation is one more function in TREES, which gets files and makes a tree of them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from refmill.clients.worktree import WorkTree
from refmill.errors import LimitExceeded, NotFound
from refmill.ports.trees import Tree
from refmill_repos.trees import GitTree

Make = Callable[[Path, Mapping[str, str]], Tree]


def write(root: Path, files: Mapping[str, str]) -> None:
    """`files` on disk: a content that begins with "-> " is a link, one that begins with "#!" a program."""
    for path, content in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if content.startswith("-> "):
            place.symlink_to(content[3:])
        else:
            place.write_text(content, newline="")
            place.chmod(0o755 if content.startswith("#!") else 0o644)


def working_copy(root: Path, files: Mapping[str, str]) -> Tree:
    write(root / "copy", files)
    return WorkTree(root / "copy")


def commit(root: Path, files: Mapping[str, str]) -> Tree:
    write(root / "copy", files)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "files"]):
        subprocess.run(["git", "-C", str(root / "copy"), *command], check=True)
    sha = subprocess.run(
        ["git", "-C", str(root / "copy"), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    )
    return GitTree(root / "copy" / ".git", sha.stdout.strip())


TREES: dict[str, Make] = {"working copy": working_copy, "commit": commit}

FILES = {
    "a.txt": "one\r\ntwo\n",
    "a/b": "b",
    "a/z/deep": "#!/bin/sh\n",
    "a-b/x": "x",
    "a0": "",
    "ä ü/ö": "ö",
    "link": "-> a.txt",
    "folder": "-> a",
    "out": "-> /etc",
}


@pytest.fixture(params=TREES, ids=list(TREES))
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Tree:
    return TREES[request.param](tmp_path, FILES)


def test_walking_is_sorted_by_path_and_names_files_and_links(tree: Tree) -> None:
    assert [path for path, _ in tree.walk()] == sorted(FILES)
    assert [path for path, _ in tree.walk("a")] == ["a/b", "a/z/deep"]
    assert [path for path, _ in tree.walk("absent")] == []
    assert [path for path, _ in tree.walk("a/b")] == []


def test_entries(tree: Tree) -> None:
    kinds = {path: found.kind for path in ("", "a", "a.txt", "link", "folder") if (found := tree.entry(path))}
    assert kinds == {"": "directory", "a": "directory", "a.txt": "file", "link": "link", "folder": "link"}
    script, plain = tree.entry("a/z/deep"), tree.entry("a.txt")
    assert script is not None
    assert plain is not None
    assert (script.executable, plain.executable, plain.size) == (True, False, 9)


@pytest.mark.parametrize(
    "path", ["absent", "a/absent", "folder/b", "out/hostname", "../x", "a/../a.txt", "/a.txt", "a.txt/x"]
)
def test_what_passes_through_links_or_leaves_the_root_is_not_there(tree: Tree, path: str) -> None:
    assert tree.entry(path) is None
    assert tree.children(path) == {}
    with pytest.raises(NotFound):
        tree.read(path)


def test_children_are_sorted_by_name(tree: Tree) -> None:
    assert list(tree.children("")) == sorted({path.partition("/")[0] for path in FILES})
    assert [(name, found.kind) for name, found in tree.children("a").items()] == [("b", "file"), ("z", "directory")]
    assert tree.children("a.txt") == {}


def test_reading(tree: Tree) -> None:
    assert tree.read("a.txt") == b"one\r\ntwo\n"
    assert tree.read("ä ü/ö") == "ö".encode()
    with pytest.raises(LimitExceeded):
        tree.read("a.txt", limit=3)
    for path in ("a", "link", ""):
        with pytest.raises(NotFound):
            tree.read(path)


def test_links_tell_where_they_lead(tree: Tree) -> None:
    assert [tree.target(path) for path in ("link", "folder", "out")] == ["a.txt", "a", "/etc"]
    for path in ("a.txt", "a", "", "absent", "folder/b", "../x"):
        with pytest.raises(NotFound):
            tree.target(path)


def test_hashes_are_those_of_a_checkout(tree: Tree) -> None:
    assert tree.md5("a.txt") == ("57b956583c81128dc3f31ecb9e4d84e6", 9)
    assert tree.md5("a0") == ("d41d8cd98f00b204e9800998ecf8427e", 0)
    with pytest.raises(NotFound):
        tree.md5("link")
