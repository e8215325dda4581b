"""One installation for all page tests of a process; each test makes repositories of its own."""

import itertools
from collections.abc import Iterator

import pytest

from fakes.web_world import World, make_world
from refmill.model.people import Repository

_COUNT = itertools.count(1)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = make_world(tmp_path_factory.mktemp("pages"))
    yield made
    made.records.close()


@pytest.fixture
def churn(world: World) -> Repository:
    """A private repository of alice's, with one commit."""
    return world.repository("alice", f"churn{next(_COUNT)}")
