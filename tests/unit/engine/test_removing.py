"""Folders of stages that are over go in the background, many at a time."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from refmill.engine import removing
from refmill.engine.removing import Remover


def test_many_folders_go_by_one_process_whatever_their_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    run = subprocess.run

    def counted(command: list[str], **more: object) -> object:
        started.append(command)
        return run(command, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", counted)
    folders = [tmp_path / str(number) for number in range(30)]
    for folder in folders:
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "file").write_text("x")
        (folder / "deep").chmod(0o000)
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    (tmp_path / "precious").mkdir()
    remover = Remover()
    remover.remove(*folders, tmp_path / "link")
    until = time.monotonic() + 10
    while any(map(os.path.lexists, [*folders, tmp_path / "link"])):
        assert time.monotonic() < until
        time.sleep(0.01)
    remover.close()
    assert len(started) <= 2
    assert (tmp_path / "precious").is_dir(), "a link goes, not what it leads to"


def test_folders_go_where_there_is_no_rm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removing, "_COMMAND", ("no-such-program",))
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    remover = Remover()
    remover.remove(tmp_path / "folder")
    until = time.monotonic() + 10
    while (tmp_path / "folder").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    remover.close()
