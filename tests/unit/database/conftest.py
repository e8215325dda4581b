"""A database of its own for each test, and what most of them need in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.record_values import Clock
from refmill.clients.database import Records, open_records, sqlite_url
from refmill.model.people import Repository, User


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path / "refmill.db")


@pytest.fixture
def records(url: str, clock: Clock) -> Iterator[Records]:
    opened = open_records(url, reserved=frozenset({"settings"}), clock=clock, steady=lambda: clock.time / 1e6)
    yield opened
    opened.close()


@pytest.fixture
def ann(records: Records) -> User:
    return records.people.add("Ann", None)


@pytest.fixture
def repository(records: Records, ann: User) -> Repository:
    return records.catalogue.add("Ann", "Demo")
