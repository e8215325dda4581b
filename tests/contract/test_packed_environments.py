"""Environments that pods have packed: the same from a directory and from a bucket."""

import gzip
import io
import os
import time
from pathlib import Path

import pytest

from refmill import errors
from refmill.clients.packed import DAYS, PackedEnvironments
from stores import Ground


@pytest.fixture
def packed(ground: Ground, tmp_path: Path) -> PackedEnvironments:
    return PackedEnvironments(
        tmp_path / "packed", ground.bucket, "r/x/refmill/environments/", aside=tmp_path / "incoming"
    )


def test_one_is_given_back_as_it_was_sent_and_replaced_whole(packed: PackedEnvironments, tmp_path: Path) -> None:
    for body in (gzip.compress(os.urandom(3 << 20)), gzip.compress(b"other")):
        packed.put("abc-py3.12", io.BytesIO(body).read, limit=4 << 20)
        found = packed.get("abc-py3.12")
        assert b"".join(found.blocks) == body
        assert found.size in (None, len(body))
    assert list((tmp_path / "incoming").iterdir()) == []


def test_what_breaks_off_or_is_too_large_leaves_nothing(packed: PackedEnvironments, tmp_path: Path) -> None:
    def broken(size: int) -> bytes:
        raise ConnectionError

    whole = gzip.compress(os.urandom(1 << 20))
    for read, error in (
        (broken, ConnectionError), (io.BytesIO(whole).read, errors.LimitExceeded), (io.BytesIO(b"").read, errors.WrongUse),
    ):  # fmt: skip
        with pytest.raises(error):
            packed.put("abc", read, limit=1 << 20)
    with pytest.raises(errors.NotFound):
        packed.get("abc")
    assert list((tmp_path / "incoming").iterdir()) == []
    assert not (tmp_path / "packed").exists()


def test_what_is_on_its_way_lies_where_a_start_cleans(packed: PackedEnvironments, tmp_path: Path) -> None:
    seen: list[list[Path]] = []
    body = io.BytesIO(gzip.compress(b"one"))

    def read(size: int) -> bytes:
        seen.append([path.parent for path in tmp_path.rglob("*") if path.is_file() and "abc" in path.name])
        return body.read(size)

    packed.put("abc", read, limit=1000)
    assert seen[0] == [tmp_path / "incoming"]


def test_old_ones_go_when_another_comes(tmp_path: Path) -> None:
    packed = PackedEnvironments(tmp_path, None, "", aside=tmp_path / "incoming")  # a bucket's clock is its own
    packed.put("old", io.BytesIO(gzip.compress(b"old")).read, limit=1000)
    long_ago = time.time() - (DAYS + 1) * 86400
    os.utime(tmp_path / "old.tar.gz", (long_ago, long_ago))
    packed.put("new", io.BytesIO(gzip.compress(b"new")).read, limit=1000)
    assert [path.name for path in tmp_path.glob("*.tar.gz")] == ["new.tar.gz"]
