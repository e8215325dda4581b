"""The commit as a pod gets it: a real checkout that stands by itself, the same each time."""

from __future__ import annotations

import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from planted_runs import Ground
from refmill.engine import checkouts
from refmill.model.runs import Run
from refmill_argo import archives

FILES: dict[str, str | bytes] = {
    "dvc.yaml": "stages:\n  one: {cmd: 'true', deps: [in.txt], outs: [one.txt]}\n",
    "in.txt": "in\n",
    ".dvc/config": "[core]\n",
    ".gitattributes": "*.csv text eol=crlf\nsecret.txt export-ignore\nwhen.txt export-subst\n",
    "rows.csv": "a\nb\n",
    "secret.txt": "stays\n",
    "when.txt": "$Format:%H$\n",
    "ü/ö.txt": "ü\n",
    "run.sh": "#!/bin/sh\n",
    "x/" + "long/" * 60 + "name": "deep\n",
}


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def planted(ground: Ground) -> Run:
    repository = ground.repository(FILES)
    copy = ground.root / "copies" / "digits"
    (copy / "link").symlink_to("x/long")
    (copy / "run.sh").chmod(0o755)
    (copy / "old.txt").write_text("of the first commit's child\n")
    ground.push(repository, {"in.txt": "second\n"})
    (copy / "old.txt").unlink()
    ground.push(repository, {"in.txt": "third\n"})
    return ground.run(repository)


def git(place: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=place, capture_output=True, text=True, check=True).stdout.strip()


def test_a_pod_gets_a_real_checkout_that_stands_by_itself(ground: Ground, tmp_path: Path) -> None:
    run = planted(ground)
    pod = ground.pod(run)
    pod.open()
    tree = pod.check_out()
    oracle = tmp_path / "oracle"
    checkouts.make(ground.parts.repositories.path(run.repository_id), run.commit, oracle)
    listed = [
        sorted(
            (path.relative_to(root), path.is_symlink(), path.is_file() and path.read_bytes(), path.lstat().st_mode)
            for path in root.rglob("*") if ".git" not in path.parts
        )
        for root in (tree, oracle)
    ]  # fmt: skip
    assert listed[0] == listed[1]
    assert (tree / "rows.csv").read_bytes() == b"a\r\nb\r\n"
    assert (tree / "when.txt").read_text() == "$Format:%H$\n"
    ground.parts.repositories.path(run.repository_id).rename(tmp_path / "gone")
    assert git(tree, "rev-parse", "HEAD") == run.commit
    assert git(tree, "status", "--porcelain") == ""
    assert git(tree, "log", "--format=%H") == run.commit, "depth one"
    git(tree, "fsck", "--full")
    assert not (tree / ".git" / "objects" / "info" / "alternates").exists()


def test_the_archive_is_made_once_and_is_the_same_each_time(ground: Ground) -> None:
    run = planted(ground)
    work, repository = ground.parts.settings.path("work"), ground.parts.repositories.path(run.repository_id)
    made: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: made.append(archives.commit(work, run, repository).read_bytes()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = archives.commit(work, run, repository)
    facts = first.stat()
    assert [body == made[0] for body in made] == [True] * 4
    assert archives.commit(work, run, repository).stat().st_ino == facts.st_ino
    first.unlink()
    (work / run.id / "template.tmp").mkdir()  # as a crash leaves it
    assert archives.commit(work, run, repository).read_bytes() == made[0]
    assert [path.name for path in (work / run.id).iterdir() if path.is_dir()] == []
    assert int.from_bytes(made[0][4:8], "little") == run.created // 1_000_000, "gzip has a time of its own"
    with tarfile.open(first) as tar:
        assert {member.mtime for member in tar} == {run.created // 1_000_000}
        assert {(member.uid, member.uname) for member in tar} == {(0, "")}


def test_a_checkout_that_was_being_detached_when_somebody_was_killed_is_finished(
    ground: Ground, tmp_path: Path
) -> None:
    run = planted(ground)
    checkout = tmp_path / "checkout"
    repository = ground.parts.repositories.path(run.repository_id)
    checkouts.make(repository, run.commit, checkout)
    (checkout / ".git" / "objects" / "pack").mkdir(exist_ok=True)
    (checkout / ".git" / "objects" / "pack" / "tmp_pack_cut").write_bytes(b"half")
    checkouts.detach(checkout, run.commit)
    checkouts.detach(checkout, run.commit)
    assert not list((checkout / ".git" / "objects" / "pack").glob("tmp*"))
    git(checkout, "fsck", "--full")


@pytest.mark.parametrize("form", ["sha1", "sha256"])
def test_a_checkout_with_changed_parameters_stands_by_itself(tmp_path: Path, form: str) -> None:
    hosted, checkout = tmp_path / "hosted", tmp_path / "checkout"
    hosted.mkdir()
    git(hosted, "init", "--quiet", f"--object-format={form}")
    shas = []
    for value in ("1", "2"):
        (hosted / "params.yaml").write_text(f"a: {value}\n")
        git(hosted, "add", "--all")
        git(hosted, "commit", "--quiet", "--message", value)
        shas.append(git(hosted, "rev-parse", "HEAD"))
    checkouts.make(hosted / ".git", shas[0], checkout, shas[1])
    checkouts.detach(checkout, shas[1])
    hosted.rename(tmp_path / "gone")
    assert git(checkout, "rev-parse", "HEAD") == shas[0]
    assert git(checkout, "diff", "--cached", "--name-only") == "params.yaml"
    assert git(checkout, "status", "--porcelain") == "M  params.yaml"
    git(checkout, "fsck", "--full")
    git(checkout, "checkout", "--quiet", "--", "params.yaml")
    git(checkout, "commit", "--quiet", "--message", "a command may commit")
    assert git(checkout, "show", "HEAD:params.yaml") == "a: 2"
