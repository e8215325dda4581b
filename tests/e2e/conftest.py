"""A running platform, shared by the tests of a folder; each test makes repositories of its own."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from platforms import Copy, Platform, new_copy

_COUNT = itertools.count(1)


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    running = Platform(tmp_path_factory.mktemp("platform") / "data")
    running.start()
    running.user("alice", "--admin")
    yield running
    running.stop()


@pytest.fixture
def name() -> str:
    return f"project{next(_COUNT)}"


@pytest.fixture
def project(tmp_path: Path) -> Callable[[dict[str, str]], Copy]:
    """Makes a working copy with these files, a DVC project with one commit."""
    return lambda files: new_copy(tmp_path / "copy", files)
