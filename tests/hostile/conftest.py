"""One platform that everything hostile goes to, with eyes on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from commits import Repository
from tally import TALLY
from watching import FIRST, Watch

from platforms import Platform
from running import name, platform  # noqa: F401 - fixtures


def pytest_report_header() -> str:
    """The seed from which hostile things are made, also where nothing fails."""
    return f"hostile things from seed {FIRST} (REFMILL_SEED)"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the hostile things were answered with (of processes that share the tests, each counts for itself)."""
    for line in TALLY.lines():
        terminalreporter.write_line(line)


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
