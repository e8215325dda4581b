"""What is ignored is decided as git decides it, and outputs get the lines that DVC gives them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refmill.formats import gitignore

pieces = st.sampled_from(["a", "b", "ab", "*", "**", "?", "[ab]", "[!a]", "[a-c]*", "\\a", "*.b", "a*b", "[[:alpha:]]"])
patterns = st.builds(
    lambda neg, lead, parts, end: neg + lead + "/".join(parts) + end,
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "/", "**/"]),
    st.lists(pieces, min_size=1, max_size=3),
    st.sampled_from(["", "/", "/**", " ", "\r"]),
)
lines = st.lists(patterns | st.sampled_from(["", "# a", "\\#a", "\\!a", "a\\ ", "[", "a\\", "!"]), max_size=6)
trees = st.fixed_dictionaries({"": lines, "a": lines, "a/b": lines})
paths = [
    f"{one}{rest}" for one in ("a", "b", "ab", "a.b", "#a", "a ") for rest in ("", "/a", "/b/ab", "/b/a.b/b", "/ab/a/b")
]

FOLDERS = {"a", "a/b", "b", "b/ab", "ab", "ab/a", "ab/a/b", "a/b/a.b"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ignore")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    return root


@settings(max_examples=60, deadline=None)
@given(tree=trees)
def test_what_is_ignored_is_what_git_ignores(repository: Path, tree: dict[str, list[str]]) -> None:
    files = {f"{folder}/.gitignore".lstrip("/"): "\n".join(found).encode() for folder, found in tree.items()}
    for path, data in files.items():
        (repository / path).write_bytes(data)
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", "-z", "--stdin"],
        cwd=repository, input="\0".join(paths).encode(), capture_output=True, check=False,
    )  # fmt: skip
    ours = {path for path in paths if gitignore.ignored(path, files.get, is_directory=path in FOLDERS)}
    assert ours == set(done.stdout.decode().split("\0")[:-1])


def test_a_pattern_made_to_backtrack_is_answered() -> None:
    # A matcher that backtracks takes years over it: that there is an answer is the point.
    evil = ("a*" * 400 + "b").encode()
    assert not gitignore.ignored("a" * 2000, {".gitignore": evil}.get)


def test_lines_are_escaped_and_appended() -> None:
    assert gitignore.add(b"", "data") == b"/data\n"
    assert gitignore.add(b"x", "a[1]!#?*\\") == b"x\n/a\\[1\\]\\!\\#\\?\\*\\\\\n"


def test_an_output_that_is_ignored_already_adds_nothing() -> None:
    files = {".gitignore": b"out/\n", "sub/.gitignore": b"!x\n"}
    assert gitignore.update([("out", True)], files.get) == {}
    assert gitignore.update([("out", False)], files.get) == {".gitignore": b"out/\n/out\n"}
    changed = gitignore.update([("sub/x", False), ("sub/y", False), ("new/z", True)], files.get)
    assert changed == {"sub/.gitignore": b"!x\n/x\n/y\n", "new/.gitignore": b"/z\n"}


def test_a_project_in_a_directory_heeds_what_lies_around_it() -> None:
    around = gitignore.Surroundings("a/b", {".gitignore": b"*.log\n", "a/.gitignore": b"/b/cold/\n"})
    outs = [("x.log", False), ("cold", True), ("sub/cold", True), ("out", False)]
    changed = gitignore.update(outs, {".gitignore": b"one\n"}.get, around)
    assert changed == {"sub/.gitignore": b"/cold\n", ".gitignore": b"one\n/out\n"}
