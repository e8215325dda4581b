"""Attempts that are watched, and attempts in control groups of their own where this machine gives us any; and pods."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from attempting import Attempt, given_groups  # noqa: F401 - a fixture
from fakes.pod_server import PodServer
from podding import Pod, archive
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


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    """Pods with the real runner, of which nothing stays."""
    made = Pod(tmp_path)
    yield made
    made.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., PodServer]]:
    """Makes the platform of one pod's stages, to which nothing may have been said that the protocol does not allow."""
    made: list[PodServer] = []

    def start(*stages: dict[str, Any], commit: bytes | None = None, **said: Any) -> PodServer:
        made.append(PodServer(list(stages), archive() if commit is None else commit, **said))
        return made[-1]

    yield start
    for server in made:
        server.stop()
        assert server.wrong == []


@pytest.fixture(params=["uv", "pip"])
def path(request: pytest.FixtureRequest, tmp_path) -> str:
    """A PATH with `uv`, or without it."""
    if request.param == "pip":
        return "/usr/bin:/bin"
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "uv").symlink_to(shutil.which("uv", path=f"{sys.prefix}/bin"))
    return f"{programs}:/usr/bin:/bin"
