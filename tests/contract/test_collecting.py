"""What the collection of garbage leaves alone, in a directory and in real S3 servers."""

from __future__ import annotations

import io
import json
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
import requests

from refmill import errors
from refmill.flows.collecting import Collector
from refmill.formats.hashing import OLD
from refmill.ports.objects import Store
from refmill_repos.mentions import BareMentions
from stores import Ground, md5

DAY = 86_400


class History:
    """A hosted repository and a working copy of it."""

    def __init__(self, root: Path, path: Path) -> None:
        self.root, self.path = root, path
        subprocess.run(["git", "init", "--quiet", "--bare", str(root / "a.git")], check=True)
        subprocess.run(["git", "clone", "--quiet", str(root / "a.git"), str(path)], check=True, capture_output=True)

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=self.path, check=True, capture_output=True)

    def commit(self, **files: str) -> None:
        for name, content in files.items():
            (self.path / "sub").mkdir(exist_ok=True)
            (self.path / name.replace("_", ".", 1)).write_text(content)
            (self.path / "sub" / name.replace("_", ".", 1)).write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "x")
        self.git("push", "--quiet", "origin", "HEAD")


@pytest.fixture
def history(tmp_path: Path) -> History:
    (tmp_path / "repos").mkdir()
    return History(tmp_path / "repos", tmp_path / "copy")


def collector(ground: Ground, history: History, records: Iterable[str] = (), days: float = 0) -> Collector:
    return Collector(ground.store, BareMentions(history.root), lambda _: records, lambda: time.time() + days * DAY)


def directory(store: Store, *files: bytes) -> str:
    names = [store.write(data) for data in files]
    return store.write(json.dumps([{"md5": md5, "relpath": md5} for md5 in names]).encode(), ".dir")


def garbage(ground: Ground, history: History, records: Iterable[str] = (), days: float = 15) -> set[str]:
    return {item.name for item in collector(ground, history, records, days).look("a").garbage}


def test_what_any_commit_mentions_stays(ground: Ground, history: History) -> None:
    store = ground.store("a")
    first, second, third, unneeded = (store.write(data) for data in (b"1", b"2", b"3", b"4"))
    folder, other = directory(store, b"5", b"6"), directory(store, b"7")
    history.commit(data_dvc=f"outs:\n- md5: {first}\n  path: data\n")
    history.commit(data_dvc=f"outs: [{{md5: {second}, path: data}}]\n", dvc_lock=f"no yaml: {{ {folder}")
    history.git("checkout", "--quiet", "-b", "side")
    history.commit(data_dvc=f"outs: [{{md5: {third}, path: data}}]\n")
    history.git("checkout", "--quiet", "-")
    assert garbage(ground, history) == {unneeded, other, md5(b"7")}
    history.git("push", "--quiet", "origin", ":side", "HEAD~1:refs/exps/aa/bb/kept")
    assert garbage(ground, history) == {unneeded, other, md5(b"7"), third}
    found = collector(ground, history, days=15)
    looked = found.look("a")
    assert looked.garbage_size == sum(item.size for item in looked.garbage) > 0
    found.collect("a", looked)
    assert garbage(ground, history) == set()
    there = {first, second, folder, md5(b"5"), md5(b"6")}
    assert ground.anew("a").present([*there, unneeded, other, third]) == there


def test_what_a_run_or_the_run_cache_tells_of_stays(ground: Ground, history: History) -> None:
    store, cache = ground.store("a"), ground.run_cache("a")
    first, second, unneeded = (store.write(data) for data in (b"1", b"2", b"3"))
    folder = directory(store, b"4")
    cache.save("a" * 64, "b" * 64, {"cmd": "x", "outs": [{"path": "o", "hash": "md5", "md5": folder, "size": 1}]})
    told = [json.dumps({"plan": {"deps": [first]}}), f"...{second}..."]
    assert garbage(ground, history, [*told, *cache.texts()]) == {unneeded}


def test_what_is_young_stays_and_so_do_the_files_of_a_young_directory(ground: Ground, history: History) -> None:
    directory(ground.store("a"), b"1", b"2")
    assert garbage(ground, history, days=13.9) == set()
    assert len(garbage(ground, history, days=14.1)) == 3
    with pytest.raises(errors.WrongUse, match="never"):
        collector(ground, history).look("a", days=13)


def test_a_directory_that_stays_keeps_files_that_nobody_else_mentions(ground: Ground, history: History) -> None:
    store = ground.store("a")
    folder = directory(store, b"1")
    history.commit(dvc_lock=f"outs: {folder}")
    assert garbage(ground, history) == set()
    assert ground.anew("a").present([md5(b"1")])


def test_nothing_goes_where_something_cannot_be_read(ground: Ground, history: History, tmp_path: Path) -> None:
    store = ground.store("a")
    store.write(b"unneeded")
    name = store.write(b"no listing at all", ".dir")
    history.commit(dvc_lock=f"outs: {name}")
    with pytest.raises(errors.Damaged):
        garbage(ground, history)
    blob = next((history.root / "a.git" / "objects").glob("??/*"))
    blob.chmod(0o600)
    blob.write_bytes(b"damaged")
    with pytest.raises(errors.RefmillError):
        BareMentions(history.root).of("a")


def test_objects_of_dvc_2_stay(ground: Ground, history: History) -> None:
    store, data = ground.store("a"), b"one\r\n"
    store.take(OLD + md5(b"one\n"), io.BytesIO(data).read, limit=100)
    assert garbage(ground, history) == set()


@pytest.mark.parametrize("ground", ["minio", "versitygw"], indirect=True)
def test_what_was_sent_and_never_settled_goes_when_it_is_old(ground: Ground, history: History) -> None:
    offer = ground.store("a").offer(md5(b"1"), 60)
    assert offer
    assert ground.bucket
    assert requests.put(offer.href, data=b"1", timeout=30).ok
    for days, left in ((13, 1), (15, 0)):
        found = collector(ground, history, days=days)
        found.collect("a", found.look("a"))
        assert len(list(ground.bucket.list("incoming/"))) == left
