"""Files of a commit without a checkout; a real checkout by git is the oracle."""

import hashlib
import os
from pathlib import Path

import pytest

from fakes.git_hosting import Client
from refmill import errors
from refmill.ports.trees import Entry
from refmill_repos import trees
from refmill_repos.trees import GitTree

FILES: dict[str, str | bytes] = {
    "a.txt": "one\ntwo\n",
    "a/b/c.bin": bytes(range(256)),
    "a.b": "sorts between a.txt and a/ in git",
    "empty": "",
    "sp ace/ü/模型.txt": "x",
    "project/dvc.yaml": "stages: {}\n",
    "project/src/run.sh": "#!/bin/sh\n",
}


@pytest.fixture
def work(git: Client, tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    git.commit(folder, FILES)
    os.chmod(folder / "project/src/run.sh", 0o755)
    (folder / "link").symlink_to("a")
    (folder / "out").symlink_to("/etc")
    git.commit(folder, {})
    return folder


def tree_of(work: Path, git: Client, project: str = "") -> GitTree:
    return GitTree(work, git("rev-parse", "HEAD", cwd=work).strip(), project=project)


def test_every_file_is_walked_in_gits_order(work: Path, git: Client) -> None:
    listed = git("ls-files", "-z", cwd=work).rstrip("\0").split("\0")
    walked = dict(tree_of(work, git).walk())
    assert list(walked) == listed
    assert walked["link"].kind == "link"
    assert walked["project/src/run.sh"].executable
    assert {path: walked[path].size for path in FILES} == {path: len(data) for path, data in FILES.items()} | {
        "sp ace/ü/模型.txt": 1
    }


def test_what_stands_where(work: Path, git: Client) -> None:
    tree = tree_of(work, git)
    assert tree.entry("a") == Entry("directory", git("rev-parse", "HEAD:a", cwd=work).strip())
    assert tree.entry("") == Entry("directory", git("rev-parse", "HEAD:", cwd=work).strip())
    assert tree.read("a/b/c.bin") == FILES["a/b/c.bin"]
    assert list(tree.children("")) == ["a", "a.b", "a.txt", "empty", "link", "out", "project", "sp ace"]
    assert list(dict(tree.walk("a"))) == ["a/b/c.bin"]
    assert tree.children("a.txt") == {}
    assert list(tree.walk("nothing")) == []


@pytest.mark.parametrize(
    "path",
    ["nothing", "a.txt/x", "link/b/c.bin", "out/passwd", "../work/a.txt", "a/../a.txt", "/a.txt", "a//b", "./a.txt",
     "a/", ".git/config", "a.txt\0", "-h"],
)  # fmt: skip
def test_what_is_not_there(work: Path, git: Client, path: str) -> None:
    tree = tree_of(work, git)
    assert tree.entry(path) is None
    with pytest.raises(errors.NotFound):
        tree.read(path)
    with pytest.raises(errors.NotFound):
        tree.md5(path)


def test_links_and_folders_are_no_files(work: Path, git: Client) -> None:
    for path in ("link", "a", ""):
        with pytest.raises(errors.NotFound):
            tree_of(work, git).read(path)


def test_a_project_is_a_root_of_its_own(work: Path, git: Client) -> None:
    tree = tree_of(work, git, "project")
    assert list(dict(tree.walk())) == ["dvc.yaml", "src/run.sh"]
    assert tree.read("dvc.yaml") == b"stages: {}\n"
    assert tree.entry("../a.txt") is None
    with pytest.raises(errors.NotFound):
        tree_of(work, git, "a.txt")
    with pytest.raises(errors.NotFound):
        tree_of(work, git, "..")


def test_reading_is_limited(work: Path, git: Client) -> None:
    with pytest.raises(errors.LimitExceeded, match=r"a\.txt has 8 bytes"):
        tree_of(work, git).read("a.txt", limit=7)


@pytest.mark.parametrize("commit", ["main", "HEAD", "0" * 40, "--all", "HEAD:a", "x" * 40])
def test_only_a_full_sha_names_a_commit(work: Path, commit: str) -> None:
    with pytest.raises(errors.NotFound):
        GitTree(work, commit)


ATTRIBUTES: dict[str, str | bytes] = {
    ".gitattributes": "[attr]win eol=crlf\n*.txt text eol=crlf\n*.auto text=auto eol=crlf\n*.id ident\n"
    "*.sh text eol=lf\n*.u16 text working-tree-encoding=UTF-16LE\nkept.txt -text\n",
    "plain.py": "a\nb\n",
    "a.txt": "a\nb\n",
    "kept.txt": "a\nb\n",
    "bin.auto": b"a\nb\0\n",
    "text.auto": "a\nb\n",
    "x.id": "$Id$\n",
    "x.sh": "a\nb\n",
    "x.u16": "größe\n".encode("utf-16-le"),
    "empty.txt": "",
    "sub/.gitattributes": "*.txt -text\n*.py win\n",
    "sub/a.txt": "a\nb\n",
    "sub/deep/a.py": "a\nb\n",
    "line\nbreak.txt": "a\nb\n",
    "sp ace.txt": "a\n" * 100_000,
}


@pytest.mark.parametrize("files", [FILES, ATTRIBUTES], ids=["plain", "attributes"])
def test_hashes_are_those_of_a_checkout(
    git: Client, tmp_path: Path, files: dict[str, str | bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "_BIG", 1000)
    git.commit(tmp_path / "work", files)
    git("clone", "-q", tmp_path / "work", tmp_path / "checkout")
    git("clone", "-q", "--bare", tmp_path / "work", tmp_path / "bare.git")
    tree = GitTree(tmp_path / "bare.git", git("rev-parse", "HEAD", cwd=tmp_path / "work").strip())
    for _ in range(2):
        for path in files:
            data = (tmp_path / "checkout" / path).read_bytes()
            assert tree.md5(path) == (hashlib.md5(data).hexdigest(), len(data)), path


def test_filters_of_attributes_are_not_carried_out(git: Client, tmp_path: Path) -> None:
    work = tmp_path / "work"
    git.commit(work, {".gitattributes": "*.key filter=upper\n"})
    for way, letters in (("clean", "A-Z a-z"), ("smudge", "a-z A-Z")):
        git("config", f"filter.upper.{way}", f"tr {letters}", cwd=work)
    sha = git.commit(work, {"a.key": "SECRET\n"})
    (work / "a.key").unlink()
    git("checkout", "--", "a.key", cwd=work)
    assert (work / "a.key").read_text() == "SECRET\n"
    assert GitTree(work, sha).md5("a.key") == (hashlib.md5(b"secret\n").hexdigest(), 7)


def test_attributes_above_the_project_count(git: Client, tmp_path: Path) -> None:
    sha = git.commit(tmp_path / "work", {".gitattributes": "*.txt eol=crlf\n", "p/a.txt": "a\n"})
    assert GitTree(tmp_path / "work", sha, project="p").md5("a.txt") == (hashlib.md5(b"a\r\n").hexdigest(), 3)


def test_a_bomb_of_trees_is_walked_only_so_far(git: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "MAX_ENTRIES", 5000)
    git.commit(tmp_path / "work", {"f": "x"})
    tree = git("rev-parse", "HEAD:", cwd=tmp_path / "work").strip()
    for _ in range(10):
        listing = tmp_path / "listing"
        listing.write_text("".join(f"040000 tree {tree}\td{number}\n" for number in range(10)))
        tree = git("-c", "alias.made=!git mktree <" + str(listing), "made", cwd=tmp_path / "work").strip()
    sha = git("commit-tree", "-m", "bomb", tree, cwd=tmp_path / "work").strip()
    with pytest.raises(errors.LimitExceeded):
        list(GitTree(tmp_path / "work", sha).walk())


def test_a_missing_object_is_damage_not_absence(work: Path, git: Client) -> None:
    tree = tree_of(work, git)
    oid = git("rev-parse", "HEAD:a.txt", cwd=work).strip()
    (work / ".git/objects" / oid[:2] / oid[2:]).unlink()
    with pytest.raises(errors.Damaged):
        tree.read("a.txt")
