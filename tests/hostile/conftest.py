"""One platform that everything hostile goes to, with eyes on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from commits import Repository
from tally import TALLY
from watching import Watch

import telling
from platforms import Platform
from running import name, platform  # noqa: F401 - fixtures


def pytest_sessionfinish() -> None:
    """Tell what the hostile things were answered with."""
    telling.LINES.extend(TALLY.lines())


@pytest.fixture(scope="session")
def watch(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Watch:  # noqa: F811
    return Watch(platform, tmp_path_factory.mktemp("outside"))


@pytest.fixture
def watched(watch: Watch, request: pytest.FixtureRequest) -> Iterator[Watch]:
    """The eyes, which look once more when a test has ended."""
    yield watch
    watch.check_all(request.node.name)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "hostile.git")
