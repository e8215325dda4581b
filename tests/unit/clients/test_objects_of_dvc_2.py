"""Objects of DVC 2, named by a hash that leaves line ends out: in its layout, and found by both names."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc_data.hashfile.hash import fobj_md5

from refmill.clients import uploads
from refmill.clients.objects import DirectoryObjects
from refmill.errors import Conflict, Damaged, NotFound, WrongUse
from refmill.formats import hashing
from refmill.plans.outputs import as_stored, restore_output, store_output

DOS, UNIX = b"a\r\nb\r\n", b"a\nb\n"


def old(data: bytes, ending: str = "") -> str:
    return "old-" + fobj_md5(io.BytesIO(data), name="md5-dos2unix") + ending


def send(store: Path, name: str, data: bytes) -> bool:
    return uploads.take(store, name, io.BytesIO(data).read, limit=1 << 20)


def put(store: Path, name: str, data: bytes) -> bool:
    source = store / "source"
    store.mkdir(exist_ok=True)
    source.write_bytes(data)
    DirectoryObjects(store).put(source, name, move=True)
    source.unlink()
    return True


@pytest.mark.parametrize("add", [send, put])
def test_a_file_is_found_by_its_old_name_and_that_of_today(tmp_path: Path, add: Callable[..., bool]) -> None:
    assert add(tmp_path, old(DOS), DOS)
    objects, today = DirectoryObjects(tmp_path), hashing.md5_bytes(DOS)
    assert objects.present([old(DOS), today, old(UNIX)[4:]]) == {old(DOS), today}
    assert objects.today(old(DOS)) == today
    assert objects.read(old(DOS)) == objects.read(today) == DOS
    assert objects.sizes([old(DOS)]) == {old(DOS): 6}
    objects.get(old(DOS), tmp_path / "back", link=True)
    assert (tmp_path / "back").read_bytes() == DOS

    assert add(tmp_path, old(b"same"), b"same")
    assert not (tmp_path / old(b"same")[4:6]).exists(), "one place where the names are the same"
    assert objects.today(old(b"same")) == hashing.md5_bytes(b"same")
    assert objects.today(old(b"absent")) is None
    with pytest.raises(NotFound):
        objects.read(old(b"absent"))


def test_a_listing_brings_its_files_back(tmp_path: Path) -> None:
    listing = json.dumps([{"md5": old(DOS)[4:], "relpath": "x"}, {"md5": old(b"\0")[4:], "relpath": "y/z"}]).encode()
    send(tmp_path, old(DOS), DOS)
    with pytest.raises(Conflict):
        send(tmp_path, old(listing, ".dir"), listing)
    send(tmp_path, old(b"\0"), b"\0")
    assert send(tmp_path, old(listing, ".dir"), listing)
    assert not send(tmp_path, old(listing, ".dir"), listing)
    item = {"path": "d", "md5": old(listing, ".dir")[4:]}
    restore_output(item, tmp_path / "back", DirectoryObjects(tmp_path))
    assert (tmp_path / "back/x").read_bytes() == DOS
    assert (tmp_path / "back/y/z").read_bytes() == b"\0"


def test_bytes_of_another_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongUse):
        send(tmp_path, old(DOS), b"other")
    with pytest.raises(Damaged):
        put(tmp_path, old(DOS), b"other")
    assert DirectoryObjects(tmp_path).present([old(DOS)]) == set()


def test_a_cache_that_dvc_2_filled_is_read(tmp_path: Path) -> None:
    for data in (DOS, b"same"):
        place = tmp_path / old(data)[4:6] / old(data)[6:]
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(data)
    objects = DirectoryObjects(tmp_path)
    assert objects.today(old(DOS)) == hashing.md5_bytes(DOS)
    assert objects.today(old(b"same")) == hashing.md5_bytes(b"same")
    assert objects.read(old(DOS)) == DOS
    assert objects.present([hashing.md5_bytes(DOS)]) == set()
    shutil.rmtree(tmp_path / old(DOS)[4:6])
    assert objects.today(old(DOS)) is None


@pytest.mark.parametrize("name", ["made", "x"])
def test_an_output_that_is_still_what_dvc_2_recorded_keeps_its_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / "made" if name == "made" else tmp_path / "made" / "x"
    (tmp_path / "made/y").mkdir(parents=True)
    (tmp_path / "made/x").write_bytes(DOS)
    (tmp_path / "made/y/z").write_bytes(b"\0")
    listing = json.dumps([{"md5": old(DOS)[4:], "relpath": "x"}, {"md5": old(b"\0")[4:], "relpath": "y/z"}]).encode()
    md5 = (old(listing, ".dir") if name == "made" else old(DOS))[4:]
    at_once, later = DirectoryObjects(tmp_path / "1"), DirectoryObjects(tmp_path / "2")
    kept, today = store_output(path, at_once, recorded={"md5": md5}), store_output(path, later)
    assert as_stored(today, {"md5": md5}, later) == kept
    assert kept.item("p") == {"path": "p", "md5": md5} | {
        key: value for key, value in today.item("p").items() if key in ("size", "nfiles")
    }
    for number, objects in enumerate((at_once, later)):
        restore_output(kept.item("p"), tmp_path / f"back {number}", objects)
        assert store_output(tmp_path / f"back {number}", later) == today

    (tmp_path / "made/x").write_bytes(b"other")
    today = store_output(path, later)
    assert store_output(path, at_once, recorded={"md5": md5}) == as_stored(today, {"md5": md5}, later) == today
