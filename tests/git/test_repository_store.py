"""Making, finding and removing repositories; what a SIGKILL leaves is cleaned at the next start."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fakes.git_hosting import Client, Hosting
from platforms import wait
from refmill import errors
from refmill_repos.store import BareRepositories, clean


def test_a_repository_is_made_once(git: Client, tmp_path: Path) -> None:
    store = BareRepositories(tmp_path / "repos")
    store.create("r1", "trunk")
    (store.path("r1") / "mark").touch()
    store.create("r1", "main")
    assert (store.path("r1") / "mark").exists()
    assert git("symbolic-ref", "HEAD", cwd=store.path("r1")).strip() == "refs/heads/trunk"
    assert git("config", "receive.fsckObjects", cwd=store.path("r1")).strip() == "true"
    assert not list((store.path("r1") / "hooks").glob("*"))
    git("fsck", cwd=store.path("r1"))


def test_every_directory_with_a_dvc_folder_is_a_project(git: Client, tmp_path: Path) -> None:
    store, copy = BareRepositories(tmp_path / "repos"), tmp_path / "copy"
    store.create("r1", "main")
    sha = git.commit(copy, {"a/b/.dvc/config": "", "a/.dvc/config": "", "c/.dvc": "a file", "d/x": "", "é/.dvc/x": ""})
    git("push", "-q", store.path("r1"), "main", cwd=copy)
    assert store.projects("r1", sha) == ["a", "a/b", "é"]
    sha = git.commit(copy, {".dvc/config": ""} | {f"many/{number}/.dvc/config": "" for number in range(100)})
    git("push", "-q", store.path("r1"), "main", cwd=copy)
    with pytest.raises(errors.LimitExceeded):
        store.projects("r1", sha)


def test_a_removed_repository_is_gone(tmp_path: Path) -> None:
    store = BareRepositories(tmp_path / "repos")
    store.create("r1", "main")
    store.delete("r1")
    store.delete("r1")
    with pytest.raises(errors.NotFound):
        store.path("r1")
    assert [path.name for path in (tmp_path / "repos").iterdir()] == [".children.lock"]


@pytest.mark.parametrize("bad", ["", "..", "../x", "a/b", "-x", ".hooks", "a.git", "x" * 65, "a\0", "ü"])
def test_an_id_stays_in_its_folder(tmp_path: Path, bad: str) -> None:
    store = BareRepositories(tmp_path / "repos")
    for action in (store.path, store.delete, lambda name: store.create(name, "main")):
        with pytest.raises(errors.NotFound):
            action(bad)


@pytest.mark.parametrize("branch", ["-x", "a b", "../x", "a..b", "HEAD", "x\ny"])
def test_a_default_branch_has_a_possible_name(tmp_path: Path, branch: str) -> None:
    store = BareRepositories(tmp_path / "repos")
    with pytest.raises(errors.WrongUse):
        store.create("r1", branch)
    store.create("r1", "main")
    with pytest.raises(errors.WrongUse):
        store.set_default_branch("r1", branch)


def test_what_a_kill_left_is_cleaned_and_nothing_else(git: Client, tmp_path: Path) -> None:
    root = tmp_path / "repos"
    store = BareRepositories(root)
    store.create("r1", "main")
    bare = store.path("r1")
    sha = git.commit(tmp_path / "work", {"a": "x"})
    git("push", "-q", bare, "main:main", "main:feature/lock", cwd=tmp_path / "work")
    quarantine = bare / "objects/tmp_objdir-incoming-abc123"
    stale = [
        root / ".new-1234", root / ".gone-1234", bare / "refs/heads/main.lock", bare / "refs/heads/feature/x.lock",
        bare / "packed-refs.lock", bare / "packed-refs.new", bare / "HEAD.lock", quarantine,
        bare / "objects/tmp_object_git2_0123456789abcdef", bare / "objects/pack/tmp_pack_x",
    ]  # fmt: skip
    for path in stale:
        path.mkdir() if path.name.startswith((".new", ".gone", "tmp_objdir")) else path.touch()
    (quarantine / "pack").mkdir()
    kept = {path for path in bare.rglob("*") if path not in stale and quarantine not in path.parents}
    assert set(clean(root)) == set(stale)
    assert set(bare.rglob("*")) == kept
    assert git("rev-parse", "feature/lock", cwd=bare).strip() == sha


def test_cleaning_waits_for_the_children_of_a_killed_server(tmp_path: Path) -> None:
    root = tmp_path / "repos"
    root.mkdir()
    script = (
        "import os, signal, subprocess, sys\nfrom pathlib import Path\nfrom refmill_repos.guards import held\n"
        "with held(Path(sys.argv[1])) as fd:\n"
        "    child = subprocess.Popen(['sleep', '60'], pass_fds=[fd], stdout=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    server = subprocess.run([sys.executable, "-c", script, root], stdout=subprocess.PIPE, text=True, check=False)
    assert server.returncode == -signal.SIGKILL
    with pytest.raises(errors.Unavailable):
        clean(root, patience=0.1)
    os.kill(int(server.stdout), signal.SIGKILL)
    assert clean(root, patience=10) == []


def test_long_work_of_a_killed_server_ends_with_it(tmp_path: Path) -> None:
    root, begun = tmp_path / "repos", tmp_path / "begun"
    root.mkdir()
    script = (
        "import sys\nfrom pathlib import Path\nfrom refmill_repos.children import run_long\n"
        "from refmill_repos.guards import held\nwith held(Path(sys.argv[1])) as fd:\n"
        "    alias = f'alias.long=!touch {sys.argv[2]}; sleep 60'\n"
        "    run_long(['-c', alias, 'long'], lambda: False, pass_fds=[fd])\n"
    )
    server = subprocess.Popen([sys.executable, "-c", script, root, begun])
    wait(begun.exists, "git works")
    server.kill()
    server.wait()
    assert clean(root, patience=10) == []


def test_a_push_works_again_after_a_kill_in_the_ref_transaction(git: Client, hosting: Hosting, work: Path) -> None:
    git("push", "-q", hosting.url("alice/churn"), "main", cwd=work)
    for lock in ("refs/heads/main.lock", "packed-refs.lock"):
        (hosting.bare("alice/churn") / lock).touch()
    git.commit(work, {"n": "1"})
    assert "File exists" in git("push", hosting.url("alice/churn"), "main", cwd=work, fails=True)
    clean(hosting.root)
    git("push", "-q", hosting.url("alice/churn"), "main", cwd=work)


def test_refs_are_packed_into_one_file(git: Client, tmp_path: Path) -> None:
    store = BareRepositories(tmp_path / "repos")
    store.create("r1", "main")
    sha = git.commit(tmp_path / "work", {"a": "x"})
    git("push", "-q", store.path("r1"), "main", "main:refs/exps/ab/cd/run-1", cwd=tmp_path / "work")
    store.pack_refs("r1")
    assert (store.path("r1") / "packed-refs").read_text().count(sha) == 2
    assert git("rev-parse", "refs/exps/ab/cd/run-1", cwd=store.path("r1")).strip() == sha


def test_maintenance_packs_refs_and_objects(git: Client, tmp_path: Path) -> None:
    store = BareRepositories(tmp_path / "repos")
    store.create("r1", "main")
    sha = git.commit(tmp_path / "work", {f"{number}": str(number) for number in range(30)})
    git("push", "-q", store.path("r1"), *(f"main:b{number}" for number in range(20)), cwd=tmp_path / "work")
    store.maintain("r1")
    assert git("count-objects", cwd=store.path("r1")).startswith("0 objects")
    assert not list((store.path("r1") / "refs/heads").iterdir())
    assert git("rev-parse", "b7", cwd=store.path("r1")).strip() == sha
