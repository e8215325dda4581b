"""What taking an object in leaves on disk, whatever happens meanwhile."""

import errno
import hashlib
import io
import os
import time
from pathlib import Path

import pytest

from refmill import errors
from refmill.clients import uploads

DATA = b"some bytes"
MD5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()


def files(store: Path) -> list[Path]:
    return [path for path in store.rglob("*") if path.is_file()]


def test_an_object_is_read_only_and_alone(tmp_path: Path) -> None:
    assert uploads.take(tmp_path, MD5, io.BytesIO(DATA).read, limit=100)
    (path,) = files(tmp_path)
    assert path == uploads.place(tmp_path, MD5)
    assert path.stat().st_mode & 0o777 == 0o444
    assert path.read_bytes() == DATA


def test_bytes_and_names_are_on_disk_before_the_name_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    real_sync, real_rename = os.fsync, os.rename

    def sync(descriptor: int) -> None:
        real_sync(descriptor)
        steps.append(Path(f"/proc/self/fd/{descriptor}").resolve().name)

    def rename(self: Path, target: Path) -> Path:
        real_rename(self, target)
        steps.append("rename")
        return target

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "rename", rename)
    uploads.take(tmp_path, MD5, io.BytesIO(DATA).read, limit=100)
    at = steps.index("rename")
    assert any(name.startswith(MD5) for name in steps[:at])
    assert steps[at + 1 :] == [MD5[:2]]


def test_a_sender_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    pieces = iter([DATA])

    def read(size: int) -> bytes:
        for piece in pieces:
            return piece
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        uploads.take(tmp_path, MD5, read, limit=100)
    assert files(tmp_path) == []


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "incoming").mkdir()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(errors.Unavailable, match="disk"):
        uploads.take(tmp_path, MD5, io.BytesIO(DATA).read, limit=100)
    assert files(tmp_path) == []


def test_a_known_object_is_read_to_its_end_and_renewed(tmp_path: Path) -> None:
    uploads.take(tmp_path, MD5, io.BytesIO(DATA).read, limit=100)
    path = uploads.place(tmp_path, MD5)
    os.utime(path, (1_000_000, 1_000_000))
    body = io.BytesIO(DATA)
    assert not uploads.take(tmp_path, MD5, body.read, limit=100)
    assert body.read() == b""
    assert time.time() - path.stat().st_mtime < 100


def test_asking_for_a_fresh_object_writes_nothing(tmp_path: Path) -> None:
    uploads.take(tmp_path, MD5, io.BytesIO(DATA).read, limit=100)
    path = uploads.place(tmp_path, MD5)
    hour_ago = time.time() - 3600
    os.utime(path, (hour_ago, hour_ago))
    uploads.renew(path)
    assert path.stat().st_mtime == pytest.approx(hour_ago)


def test_cleaning_takes_away_what_a_kill_left(tmp_path: Path) -> None:
    store = tmp_path / "someid"
    uploads.take(store, MD5, io.BytesIO(DATA).read, limit=100)
    (store / "incoming" / "half").write_bytes(b"ha")
    uploads.clean(tmp_path)
    assert files(store) == [uploads.place(store, MD5)]
