"""The object store in a directory: verified on arrival, never half there, shared by several writers."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from refmill.clients import files
from refmill.clients.objects import TEMPORARY, DirectoryObjects
from refmill.errors import Damaged, LimitExceeded, NotFound
from refmill.formats import hashing


@pytest.fixture
def objects(tmp_path: Path) -> DirectoryObjects:
    return DirectoryObjects(tmp_path / "store")


def file(path: Path, data: bytes) -> tuple[Path, str]:
    path.write_bytes(data)
    return path, hashing.md5_bytes(data)


@pytest.mark.parametrize("move", [False, True])
def test_a_file_is_put_and_got(objects: DirectoryObjects, tmp_path: Path, move: bool) -> None:
    source, md5 = file(tmp_path / "x", b"content")
    objects.put(source, md5, move=move)
    assert source.read_bytes() == b"content"
    stored = tmp_path / "store/files/md5" / md5[:2] / md5[2:]
    assert stored.read_bytes() == b"content"
    assert stat.S_IMODE(stored.stat().st_mode) == 0o444
    assert (source.stat().st_ino == stored.stat().st_ino) is move
    objects.get(md5, tmp_path / "copy")
    (tmp_path / "copy").write_bytes(b"may be changed")
    objects.get(md5, tmp_path / "program", executable=True)
    assert os.access(tmp_path / "program", os.X_OK)
    objects.get(md5, tmp_path / "link", link=True)
    assert (tmp_path / "link").stat().st_ino == stored.stat().st_ino
    objects.get(md5, tmp_path / "linked-program", link=True, executable=True)
    assert (tmp_path / "linked-program").stat().st_ino != stored.stat().st_ino
    assert stored.read_bytes() == b"content"
    assert objects.verify(md5)
    assert list(objects.names()) == [md5]


def test_a_file_that_is_something_else_is_refused(objects: DirectoryObjects, tmp_path: Path) -> None:
    source, _ = file(tmp_path / "x", b"content")
    other = hashing.md5_bytes(b"other")
    for move in (False, True):
        with pytest.raises(Damaged):
            objects.put(source, other, move=move)
        assert objects.present([other]) == set()
        assert not list((tmp_path / "store").rglob(TEMPORARY + "*"))
        assert source.read_bytes() == b"content", "a refused file stays with its owner"


def test_putting_again_is_no_error(objects: DirectoryObjects, tmp_path: Path) -> None:
    source, md5 = file(tmp_path / "x", b"content")
    for move in (False, True):
        objects.put(source, md5, move=move)
        assert objects.verify(md5)


@pytest.mark.parametrize("how", ["second name", "link", "program"])
def test_a_file_that_is_needed_elsewhere_is_copied(objects: DirectoryObjects, tmp_path: Path, how: str) -> None:
    source, md5 = file(tmp_path / "x", b"content")
    given = source
    if how == "program":
        source.chmod(0o755)
    else:
        given = tmp_path / "given"
        given.symlink_to(source) if how == "link" else os.link(source, given)
    objects.put(given, md5, move=True)
    assert bool(source.stat().st_mode & 0o111) is (how == "program")
    source.write_bytes(b"changed")
    assert objects.verify(md5)


def test_listings_are_written_and_read(objects: DirectoryObjects, tmp_path: Path) -> None:
    md5 = objects.write(b"[]", ".dir")
    assert md5 == "d751713988987e9331980363e24189ce.dir"
    assert objects.read(md5) == b"[]"
    assert objects.present([md5, "0" * 32, "../../etc/passwd"]) == {md5}
    assert objects.sizes([md5, "0" * 32, "x"]) == {md5: 2}


def test_what_is_not_there(objects: DirectoryObjects, tmp_path: Path) -> None:
    for name in ("0" * 32, "../" * 10 + "etc/passwd", ""):
        with pytest.raises(NotFound):
            objects.read(name)
        with pytest.raises(NotFound):
            objects.get(name, tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_a_damaged_or_large_object_is_not_handed_out(objects: DirectoryObjects) -> None:
    md5 = objects.write(b"[1]", ".dir")
    with pytest.raises(LimitExceeded):
        objects.read(md5, limit=2)
    path = objects.path(md5)
    path.chmod(0o644)
    path.write_bytes(b"[2]")
    with pytest.raises(Damaged):
        objects.read(md5)
    assert not objects.verify(md5)


def test_many_writers_of_one_object(objects: DirectoryObjects, tmp_path: Path) -> None:
    source, md5 = file(tmp_path / "x", b"y" * 300_000)
    threads = [threading.Thread(target=objects.put, args=(source, md5)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert objects.verify(md5)
    assert not list((tmp_path / "store").rglob(TEMPORARY + "*"))


WRITER = """
import sys
from pathlib import Path
from refmill.clients.objects import DirectoryObjects
from refmill.formats import hashing

objects, folder = DirectoryObjects(Path(sys.argv[1])), Path(sys.argv[2])
for number in range(10_000):
    source, data = folder / f"source-{number}", b"z" * 1_000_000 + str(number).encode()
    source.write_bytes(data)
    objects.put(source, hashing.md5_bytes(data), move=number % 2 == 0)
"""


def test_whatever_a_killed_writer_leaves_under_a_name_is_whole(tmp_path: Path) -> None:
    objects = DirectoryObjects(tmp_path / "store")
    for attempt in range(4):
        folder = tmp_path / f"from-{attempt}"
        folder.mkdir()
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "store"), str(folder)])
        deadline = time.monotonic() + 20
        while not (folder / "source-2").exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.007 * attempt)
        writer.kill()
        writer.wait()
    found = list(objects.names())
    assert found
    assert all(objects.verify(md5) for md5 in found)


def half_written(target: Path) -> None:
    with files.replacing(target) as temporary:
        temporary.write_bytes(b"half")
        raise ZeroDivisionError


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "t"
    files.write(target, b"one")
    with pytest.raises(ZeroDivisionError):
        half_written(target)
    assert target.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [target]


def test_of_two_that_store_the_same_in_a_working_copy_the_first_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = DirectoryObjects(tmp_path / "cache", durable=False)
    (first, md5), (second, _) = (file(tmp_path / name, b"the same") for name in ("first", "second"))
    real = hashing.md5_file

    def slow(path: Path) -> tuple[str, int]:
        monkeypatch.undo()
        objects.put(first, md5, move=True)
        return real(path)

    monkeypatch.setattr(hashing, "md5_file", slow)
    objects.put(second, md5, move=True)
    assert objects.path(md5).stat().st_ino == first.stat().st_ino
    assert {path.name for path in objects.path(md5).parent.iterdir()} == {md5[2:]}
