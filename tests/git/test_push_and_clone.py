"""What everybody does every day, with each of git's protocol versions."""

from pathlib import Path

import pytest

from fakes.git_gate import basic
from fakes.git_hosting import Client, Hosting


@pytest.mark.parametrize("version", ["0", "1", "2"])
def test_a_push_comes_back_in_a_clone(git: Client, hosting: Hosting, work: Path, tmp_path: Path, version: str) -> None:
    options = [f"protocol.version={version}"]
    said = git("push", hosting.url("alice/churn"), "main", cwd=work, options=options)
    assert "remote: checked" in said
    git("clone", "-q", hosting.url("alice/churn"), tmp_path / "clone", options=options)
    assert (tmp_path / "clone/src/train.py").read_text() == "print(1)\n"
    assert "On branch main" in git("status", cwd=tmp_path / "clone")


def test_a_fetch_brings_only_what_is_new(git: Client, hosting: Hosting, work: Path, tmp_path: Path) -> None:
    git("push", "-q", hosting.url("alice/churn"), "main", cwd=work)
    git("clone", "-q", hosting.url("alice/churn"), tmp_path / "clone")
    for number in range(3):
        git.commit(work, {"n.txt": str(number)})
    git("push", "-q", hosting.url("alice/churn"), "main", cwd=work)
    said = git("pull", "--progress", cwd=tmp_path / "clone")
    assert "Enumerating objects: 10, done." in said
    assert (tmp_path / "clone/n.txt").read_text() == "2"


@pytest.mark.parametrize("version", ["0", "2"])
def test_a_shallow_clone_can_be_deepened(
    git: Client, hosting: Hosting, work: Path, tmp_path: Path, version: str
) -> None:
    for number in range(4):
        git.commit(work, {"n.txt": str(number)})
    git("push", "-q", hosting.url("alice/churn"), "main", cwd=work)
    options = [f"protocol.version={version}"]
    clone = tmp_path / "clone"
    git("clone", "-q", "--depth=1", hosting.url("alice/churn"), clone, options=options)
    assert git("rev-list", "--count", "HEAD", cwd=clone).strip() == "1"
    git("fetch", "-q", "--deepen=2", cwd=clone, options=options)
    assert git("rev-list", "--count", "HEAD", cwd=clone).strip() == "3"


def test_a_push_from_a_shallow_clone(git: Client, hosting: Hosting, work: Path, tmp_path: Path) -> None:
    git.commit(work, {"n.txt": "1"})
    git("push", "-q", hosting.url("alice/churn"), "main", cwd=work)
    clone = tmp_path / "clone"
    git("clone", "-q", "--depth=1", hosting.url("alice/churn"), clone)
    sha = git.commit(clone, {"n.txt": "2"})
    git("push", "-q", "origin", "main", cwd=clone)
    assert git("ls-remote", hosting.url("alice/churn"), "refs/heads/main").split()[0] == sha


@pytest.mark.parametrize("version", ["0", "2"])
def test_a_partial_clone_fetches_blobs_when_needed(
    git: Client, hosting: Hosting, work: Path, tmp_path: Path, version: str
) -> None:
    git("push", "-q", hosting.url("alice/churn"), "main", cwd=work)
    options = [f"protocol.version={version}"]
    clone = tmp_path / "clone"
    git("clone", "-q", "--no-checkout", "--filter=blob:none", hosting.url("alice/churn"), clone, options=options)
    missing = git("rev-list", "--objects", "--missing=print", "HEAD", cwd=clone).count("?")
    assert missing == 2
    assert git("cat-file", "-p", "HEAD:src/train.py", cwd=clone, options=options) == "print(1)\n"


def test_a_clone_of_nothing(git: Client, hosting: Hosting, work: Path, tmp_path: Path) -> None:
    hosting.gate.admit("alice", "churn", "write", basic("alice"))
    git("clone", "-q", hosting.url("alice/churn"), tmp_path / "clone")
    assert "No commits yet" in git("status", cwd=tmp_path / "clone")


def test_the_address_without_git_is_redirected(git: Client, hosting: Hosting, work: Path, tmp_path: Path) -> None:
    git("push", "-q", hosting.url("alice/churn"), "main", cwd=work)
    said = git("clone", hosting.url("alice/churn").removesuffix(".git"), tmp_path / "clone")
    assert "redirecting to" in said
    assert (tmp_path / "clone/dvc.yaml").exists()


def test_experiments_are_pushed_listed_and_fetched(git: Client, hosting: Hosting, work: Path, tmp_path: Path) -> None:
    sha = git("rev-parse", "HEAD", cwd=work).strip()
    ref = f"refs/exps/{sha[:2]}/{sha[2:]}/deep-trees"
    git("push", "-q", hosting.url("alice/churn"), "main", f"main:{ref}", cwd=work)
    assert git("ls-remote", hosting.url("alice/churn"), "refs/exps/*") == f"{sha}\t{ref}\n"
    git("init", "-q", tmp_path / "other")
    git("fetch", "-q", hosting.url("alice/churn"), f"{ref}:{ref}", cwd=tmp_path / "other")
    assert git("rev-parse", ref, cwd=tmp_path / "other").strip() == sha


def test_our_own_refs_are_neither_shown_nor_pushed(git: Client, hosting: Hosting, work: Path) -> None:
    git("push", "-q", hosting.url("alice/churn"), "main", cwd=work)
    git("update-ref", "refs/refmill/keep", "refs/heads/main", cwd=hosting.bare("alice/churn"))
    assert "refmill" not in git("ls-remote", hosting.url("alice/churn"))
    said = git("push", hosting.url("alice/churn"), "main:refs/refmill/x", cwd=work, fails=True)
    assert "hidden ref" in said


def test_a_deleted_branch_is_gone(git: Client, hosting: Hosting, work: Path) -> None:
    git("push", "-q", hosting.url("alice/churn"), "main", "main:old", cwd=work)
    git("push", "-q", hosting.url("alice/churn"), ":old", cwd=work)
    assert hosting.listener.pushes[-1].quarantine is None
    assert "old" not in git("ls-remote", hosting.url("alice/churn"))


def test_the_branch_that_clones_check_out_is_not_deleted(git: Client, hosting: Hosting, work: Path) -> None:
    git("push", "-q", hosting.url("alice/churn"), "main", "main:other", cwd=work)
    assert "remote rejected" in git("push", hosting.url("alice/churn"), ":main", cwd=work, fails=True)
    hosting.gate.store.set_default_branch(hosting.gate.ids["alice/churn"], "other")
    git("push", "-q", hosting.url("alice/churn"), ":main", cwd=work)
    assert "HEAD branch: other" in git("remote", "show", hosting.url("alice/churn"), cwd=work)
