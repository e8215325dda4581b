"""Attempts that are watched, and attempts in control groups of their own where this machine gives us any."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from attempting import Attempt, given_groups  # noqa: F401 - a fixture
from refmill.engine import cgroups


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    """One that is watched."""
    return Attempt(tmp_path)


@pytest.fixture
def walled(tmp_path: Path, groups: cgroups.Groups) -> Iterator[Attempt]:
    """One in a control group, of which nothing stays."""
    made = Attempt(tmp_path, groups.spec(f"test.{tmp_path.name}"))
    yield made
    assert not [folder for folder in made.folders() if folder.exists()]


@pytest.fixture(params=["attempt", "walled"])
def either(request: pytest.FixtureRequest) -> Attempt:
    """Either."""
    return request.getfixturevalue(request.param)
