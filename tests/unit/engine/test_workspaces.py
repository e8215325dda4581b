"""Checkouts as git makes them, their copies, and our own hands among a stranger's links."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time

import pytest

from refmill import errors
from refmill.engine import attempts, checkouts, live, workspaces
from refmill.model.pipelines import Output, Stage
from refmill.model.runs import Run


@pytest.fixture
def made(bench, tmp_path):
    """A checkout of a commit with some oddities, and a copy of it."""
    (bench.source / "run.sh").write_text("#!/bin/sh\n")
    (bench.source / "run.sh").chmod(0o755)
    (bench.source / "link").symlink_to("../../outside")
    (bench.source / "folder").mkdir()
    (bench.source / "folder" / "back").symlink_to("../plain.txt")
    sha = bench.commit(
        {".gitattributes": "*.dos text eol=crlf\n", "a.dos": "one\ntwo\n", "plain.txt": "x\n", "sp ace/ü": "y"}
    )
    checkouts.make(bench.bare, sha, tmp_path / "template")
    checkouts.Template(tmp_path / "template").copy(tmp_path / "copy")
    return tmp_path / "copy", sha


def test_a_copy_is_what_git_would_check_out(made):
    copy, sha = made
    assert (copy / "a.dos").read_bytes() == b"one\r\ntwo\r\n"
    assert os.readlink(copy / "link") == "../../outside"
    assert os.access(copy / "run.sh", os.X_OK)
    assert (copy / "sp ace" / "ü").read_text() == "y"

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=copy, capture_output=True, text=True, check=True).stdout.strip()

    assert git("rev-parse", "HEAD") == sha
    assert git("status", "--porcelain") == ""
    assert git("log", "--format=%H") == sha


def test_a_copy_shares_nothing_that_can_be_written(made, tmp_path):
    copy, _ = made
    (copy / "plain.txt").write_text("changed")
    (copy / ".git" / "HEAD").write_text("changed")
    assert (tmp_path / "template" / "plain.txt").read_text() == "x\n"
    assert (tmp_path / "template" / ".git" / "HEAD").read_text() != "changed"


def test_a_pushed_configuration_starts_no_program(bench, tmp_path):
    (bench.source / ".gitattributes").write_text("* filter=evil diff=evil\n")
    (bench.source / "hook").mkdir()
    sha = bench.commit({".gitconfig": f'[filter "evil"]\n smudge = touch {tmp_path}/evil\n', "x": "x"})
    checkouts.make(bench.bare, sha, tmp_path / "template")
    assert not (tmp_path / "evil").exists()


def test_a_commit_that_is_not_there(bench, tmp_path):
    bench.commit({"x": "x"})
    with pytest.raises(errors.Unavailable):
        checkouts.make(bench.bare, "0" * 39 + "1", tmp_path / "template")
    assert not (tmp_path / "template").exists()


def test_a_checkout_whose_git_is_killed_is_made_anew(bench, tmp_path, monkeypatch):
    sha = bench.commit({"x": "x"})
    struck, git = tmp_path / "struck", shutil.which("git")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").write_text(
        f"#!/bin/sh\n[ $1 = reset ] && ! test -e {struck} && touch .git/index.lock {struck} && kill -9 $$\n"
        f'exec {git} "$@"\n'
    )
    (tmp_path / "bin" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    checkouts.make(bench.bare, sha, tmp_path / "template")
    assert (tmp_path / "template" / "x").read_text() == "x"
    assert struck.exists()
    (tmp_path / "bin" / "git").write_text("#!/bin/sh\nkill -9 $$\n")
    with pytest.raises(errors.Unavailable, match="ended by signal 9"):
        checkouts.make(bench.bare, sha, tmp_path / "other")


def test_links_on_the_way_give_way_to_folders(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "precious").write_text("x")
    (root / "data").symlink_to(outside)
    assert workspaces.place(root, "data/deep/file") == root / "data" / "deep" / "file"
    assert not (root / "data").is_symlink()
    (root / "out").symlink_to(outside)
    workspaces.clear(root, "out")
    assert (outside / "precious").exists()
    assert not os.path.lexists(root / "out")
    (root / "wdir").symlink_to(outside)
    assert workspaces.make_folder(root, "wdir") == root / "wdir"
    assert not (root / "wdir").is_symlink()


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", ".git/hooks/x", "a\0b"])
def test_paths_that_leave_are_refused(tmp_path, path):
    with pytest.raises(errors.WrongUse):
        workspaces.place(tmp_path, path)


def test_whatever_its_rights_a_folder_goes(tmp_path):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "file").touch()
    deep.chmod(0)
    checkouts.remove(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_two_may_remove_the_same_folder(tmp_path):
    for i in range(200):
        (tmp_path / "a" / str(i)).mkdir(parents=True)
    threads = [threading.Thread(target=checkouts.remove, args=[tmp_path / "a"]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not (tmp_path / "a").exists()


def test_metrics_can_be_read_while_a_stage_runs(bench):
    pipeline = "stages:\n  s:\n    cmd: mkdir -p p/q; echo 1 > p/q/loss; echo 2 > m; ln -s /etc/passwd p/pw; sleep 5\n    metrics: [m]\n    plots: [p]\n"
    order = bench.order({"dvc.yaml": pipeline})
    engine = bench.engine()
    engine.submit(order)
    stage = order.plan.stages[0].stage
    until = time.monotonic() + 10
    while (found := live.read(bench.root / "work", order.run, stage, 1)) != {"p/q/loss": b"1\n", "m": b"2\n"}:
        assert time.monotonic() < until, found
        time.sleep(0.02)
    engine.stop(order.run.id)
    assert bench.end(order) == "stopped"


def test_nothing_is_read_through_links(tmp_path):
    work = tmp_path / "work"
    run = Run("r", "repo", "a/b", 1, "0" * 40, "", "", "running", "", "", 0)
    stage = Stage("s", "dvc.yaml", "", "x", outs=(Output("d/m", "d/m", "metric"),))
    tree = attempts.directory(work, "r", "s", 1) / "tree"
    tree.mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "m").write_text("x")
    (tree / "d").symlink_to(tmp_path / "secret")
    assert live.read(work, run, stage, 1) == {}
    assert workspaces.read_inside(tree, "d/m", 10) is None


def test_a_template_is_listed_once_and_its_small_files_are_read_once(bench, tmp_path):
    large = "y" * (checkouts.SMALL + 1)
    sha = bench.commit({"small": "x", "folder/large": large, "folder/empty": ""})
    checkouts.make(bench.bare, sha, tmp_path / "template")
    template = checkouts.Template(tmp_path / "template")
    template.copy(tmp_path / "one")
    (tmp_path / "template" / "small").write_text("read again")
    template.copy(tmp_path / "two")
    for copy in (tmp_path / "one", tmp_path / "two"):
        assert (copy / "small").read_text() == "x"
        assert (copy / "folder" / "large").read_text() == large
        assert (copy / "folder" / "empty").read_text() == ""


def test_a_command_may_commit_in_its_copy(made):
    copy, sha = made
    (copy / "plain.txt").write_text("changed\n")
    name = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
    subprocess.run(["git", *name, "commit", "--quiet", "-am", "x"], cwd=copy, check=True)
    subprocess.run(["git", "branch", "other"], cwd=copy, check=True)
    told = subprocess.run(["git", "log", "--format=%H"], cwd=copy, capture_output=True, text=True, check=True)
    assert told.stdout.split()[1] == sha
