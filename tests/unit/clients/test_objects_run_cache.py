"""The run-cache in a directory: the newest entry that can be read, whoever wrote it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from refmill.clients.objects import DirectoryRunCache
from refmill.errors import WrongUse

KEY, ONE, TWO = "a" * 64, "b" * 64, "c" * 64
ENTRY: dict[str, Any] = {
    "cmd": ["a: b", "x\ny"],
    "deps": [{"path": "d", "hash": "md5", "md5": "1" * 32, "size": 1}],
    "outs": [{"path": "o", "hash": "md5", "md5": "0" * 32, "size": 1}],
}


@pytest.fixture
def runs(tmp_path: Path) -> DirectoryRunCache:
    return DirectoryRunCache(tmp_path)


def folder(root: Path) -> Path:
    return root / "runs" / KEY[:2] / KEY


def test_what_is_saved_is_loaded(runs: DirectoryRunCache, tmp_path: Path) -> None:
    assert runs.load(KEY) is None
    runs.save(KEY, ONE, ENTRY)
    assert runs.load(KEY) == ENTRY
    assert [path.name for path in folder(tmp_path).iterdir()] == [ONE]


def test_an_entry_that_is_there_stays(runs: DirectoryRunCache) -> None:
    runs.save(KEY, ONE, ENTRY)
    runs.save(KEY, ONE, ENTRY | {"cmd": "other"})
    assert runs.load(KEY) == ENTRY


def test_the_newest_counts(runs: DirectoryRunCache, tmp_path: Path) -> None:
    runs.save(KEY, TWO, ENTRY)
    runs.save(KEY, ONE, ENTRY | {"cmd": "newer"})
    os.utime(folder(tmp_path) / TWO, (1, 1))
    assert (runs.load(KEY) or {})["cmd"] == "newer"


@pytest.mark.parametrize("data", [b"", b"\xff", b"cmd: [", b"[]", b"cmd: x\nodd: 1\n", b"{}", b"outs: []\n"])
def test_a_corrupt_entry_is_passed_over(runs: DirectoryRunCache, tmp_path: Path, data: bytes) -> None:
    runs.save(KEY, ONE, ENTRY)
    os.utime(folder(tmp_path) / ONE, (1, 1))
    (folder(tmp_path) / TWO).write_bytes(data)
    assert runs.load(KEY) == ENTRY


def test_an_entry_in_json_is_read_as_dvc_reads_it(runs: DirectoryRunCache, tmp_path: Path) -> None:
    folder(tmp_path).mkdir(parents=True)
    (folder(tmp_path) / ONE).write_text(json.dumps(ENTRY))
    (folder(tmp_path) / ".tmp-1").write_text("half")
    assert runs.load(KEY) == ENTRY


def test_names_are_hashes(runs: DirectoryRunCache) -> None:
    assert runs.load("../../x") is None
    with pytest.raises(WrongUse):
        runs.save(KEY, "../x", ENTRY)
