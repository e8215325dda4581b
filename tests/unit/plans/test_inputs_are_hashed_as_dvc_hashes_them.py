"""Inputs out of git and out of tracked data have the hashes that `dvc repro` records for them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from refmill.clients import dvc_parsing
from refmill.clients.objects import DirectoryObjects, DirectoryRunCache
from refmill.clients.worktree import WorkTree
from refmill.formats import lockfile
from refmill.plans import make
from refmill.plans.decide import Memory
from refmill.plans.inputs import Sources


def write(root: Path, files: dict[str, str]) -> None:
    """`files` on disk; a content that begins with "-> " is a link."""
    for path, body in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if body.startswith("-> "):
            (root / path).symlink_to(body[3:])
        else:
            (root / path).write_text(body)


def dvc(root: Path, *arguments: str) -> str:
    return subprocess.run(["dvc", *arguments], cwd=root, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture
def root(tmp_path: Path) -> Path:
    dvc(tmp_path, "init", "--no-scm", "--quiet")
    return tmp_path


def hashes(root: Path) -> tuple[dict[str, str], dict[str, str]]:
    """MD5 by path of what the stage `s` reads: ours, and what `dvc repro` records afterwards."""
    checked = dvc_parsing.check(WorkTree(root), max_stages=9)
    assert checked.pipeline is not None, checked.problems
    assert not checked.errors
    sources = Sources(checked.pipeline, WorkTree(root), DirectoryObjects(root / ".dvc/cache"))
    ours = lockfile.entry(checked.pipeline.stages["s"], sources.inputs(checked.pipeline.stages["s"]).deps, {}, {})
    dvc(root, "repro", "--quiet")
    theirs = lockfile.parse((root / "dvc.lock").read_bytes(), "dvc.lock").stages["s"]
    return tuple({item["path"]: (item["md5"], item["size"], item.get("nfiles")) for item in entry["deps"]}
                 for entry in (ours, theirs))  # type: ignore[return-value]  # fmt: skip


def test_tracked_files_that_dvcignore_hides_later_do_not_count(root: Path) -> None:
    write(root, {"data/a": "1", "data/b.tmp": "22", "data/sub/c": "333", "data/sub/d.tmp": "4444"})
    dvc(root, "add", "--quiet", "data")
    write(root, {"dvc.yaml": "stages:\n  s: {cmd: echo > o, deps: [data, data/sub], outs: [o]}\n", "data.tmp": ""})
    (root / ".dvcignore").write_text("*.tmp\n")
    ours, theirs = hashes(root)
    assert ours == theirs


def test_directories_of_git_with_tracked_data_in_them(root: Path) -> None:
    write(root, {"lib/code.py": "1", "lib/data/a": "22", "lib/gone.tmp": "4444"})
    dvc(root, "add", "--quiet", "lib/data")
    write(root, {"dvc.yaml": "stages:\n  s: {cmd: echo > o, deps: [lib, other], outs: [o]}\n", "other/.dvc/config": "",
                 "other/x": "1", "other/sub/.dvc/config": "", "other/sub/y": "2", "other/+z": "3"})  # fmt: skip
    (root / ".dvcignore").write_text("*.tmp\n.gitignore\n")
    ours, theirs = hashes(root)
    assert ours == theirs


def test_links_are_followed_to_files_and_not_below_directories(root: Path) -> None:
    write(root, {"real/f": "1", "real/deep/g": "22", "data/a": "333", "data/sub/b": "4444", "q.yaml": "a: 1\n"})
    dvc(root, "add", "--quiet", "data")
    (root / "real/f").chmod(0o755)
    write(root, {
        "d/file": "-> ../real/f", "d/folder": "-> ../real", "d/self": "-> ..", "d/tracked": "-> ../data/sub/b",
        "d/whole": "-> ../data", "d/twice": "-> file", "d/x": "5", "one": "-> d/twice", "all": "-> real",
        "there": "-> data", "part": "-> there/sub", "p.yaml": "-> all/../q.yaml",
        "dvc.yaml": "vars: [p.yaml]\nstages:\n  s:\n    cmd: echo ${a} > o\n    outs: [o]\n    params: [p.yaml: [a]]\n"
        "    deps: [d, one, all, all/deep, all/f, there, part, part/b, there/a]\n",
    })  # fmt: skip
    ours, theirs = hashes(root)
    assert ours == theirs
    assert set(ours) == {"d", "one", "all", "all/deep", "all/f", "there", "part", "part/b", "there/a"}


def test_a_lock_and_a_cache_that_dvc_2_wrote_are_up_to_date(root: Path) -> None:
    write(root, {"data/a": "1", "data/sub/b": "2", "code": "x",
                 "dvc.yaml": "stages:\n  s: {cmd: mkdir o && cp code o/f, deps: [data, code, data/sub], outs: [o]}\n"
                 "  t: {cmd: cp o/f t, deps: [o], outs: [t]}\n"})  # fmt: skip
    dvc(root, "add", "--quiet", "data")
    dvc(root, "repro", "--quiet")
    for file in ("dvc.lock", "data.dvc"):
        text = (root / file).read_text()
        (root / file).write_text("".join(line for line in text.splitlines(keepends=True) if "hash: md5" not in line))
    for folder in (root / ".dvc/cache/files/md5").iterdir():
        folder.rename(root / ".dvc/cache" / folder.name)
    assert "up to date" in dvc(root, "status")

    checked = dvc_parsing.check(WorkTree(root), max_stages=9)
    assert checked.pipeline is not None
    objects, runcache = DirectoryObjects(root / ".dvc/cache"), DirectoryRunCache(root / ".dvc/cache")
    plan = make.make(checked.pipeline, Memory(objects, runcache, WorkTree(root)))
    assert [(item.verdict, [reason.kind for reason in item.reasons]) for item in plan.stages] == [
        ("cached", ["unchanged"]), ("cached", ["unchanged"]),
    ]  # fmt: skip
    assert [item.entry for item in plan.stages] == list(checked.pipeline.lock.values())
