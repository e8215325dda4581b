"""A running platform, shared by the tests of a folder; each test makes repositories of its own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from platforms import Copy, new_copy
from running import name, platform  # noqa: F401 - fixtures
from serving import served  # noqa: F401 - a fixture


@pytest.fixture
def project(tmp_path: Path) -> Callable[[dict[str, str]], Copy]:
    """Makes a working copy with these files, a DVC project with one commit."""
    return lambda files: new_copy(tmp_path / "copy", files)
