"""Fixtures of a running platform, which a folder's conftest takes over by importing them."""

import itertools
from collections.abc import Iterator

import pytest

from platforms import Platform

_COUNT = itertools.count(1)


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform with the administrator alice, shared by a folder's tests; each makes repositories of its own."""
    running = Platform(tmp_path_factory.mktemp("platform") / "data").start()
    running.user("alice", "--admin")
    yield running
    running.stop()


@pytest.fixture
def name() -> str:
    """A name for a repository that no other test has."""
    return f"project{next(_COUNT)}"
