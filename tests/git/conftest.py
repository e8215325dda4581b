"""A real git client against the real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.git_hosting import Client, Hosting, serving


@pytest.fixture
def git(tmp_path: Path) -> Client:
    home = tmp_path / "home"
    home.mkdir()
    return Client(home)


@pytest.fixture
def hosting(tmp_path: Path) -> Iterator[Hosting]:
    with serving(tmp_path / "repos") as running:
        yield running


@pytest.fixture
def work(git: Client, tmp_path: Path) -> Path:
    """A working copy with one commit on main."""
    git.commit(tmp_path / "work", {"dvc.yaml": "stages: {}\n", "src/train.py": "print(1)\n"}, "first")
    return tmp_path / "work"
