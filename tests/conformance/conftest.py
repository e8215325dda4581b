"""DVC and Refmill, each ready to run, and one real platform that every project of a worker is pushed to."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import warmed
from archive import Project
from comparing import Refmill
from oracle import Oracle

from running import name, platform  # noqa: F401 - fixtures
from warm import Warm


@pytest.fixture(scope="session")
def dvc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    ready = warmed.dvc(tmp_path_factory.mktemp("site"))
    yield ready
    ready.stop()


@pytest.fixture(scope="session")
def oracle(dvc: Warm, tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    return Oracle(dvc, tmp_path_factory.mktemp("oracle"))


@pytest.fixture(scope="session")
def refmill() -> Iterator[Refmill]:
    ready = warmed.refmill()
    yield Refmill(ready)
    ready.stop()


@pytest.fixture
def started(project: Project, oracle: Oracle, tmp_path: Path) -> Path:
    """The project in a working copy, with one commit."""
    return oracle.start(project, tmp_path / "here")
