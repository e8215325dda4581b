"""A database of its own for each test, in every kind of server, and what most tests need in it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from database_servers import KINDS, DatabaseServer
from fakes.record_values import Clock
from refmill.clients.database import Records, open_records, sqlite_url
from refmill.model.people import Repository, User


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def database_servers() -> Iterator[Callable[[str], DatabaseServer]]:
    """Servers by their kind, started when they are first asked for."""
    started: dict[str, DatabaseServer] = {}

    def server(kind: str) -> DatabaseServer:
        if kind not in started:
            started[kind] = DatabaseServer(kind).start()
        return started[kind]

    yield server
    for one in started.values():
        one.drop()


@pytest.fixture(params=["sqlite", *KINDS])
def url(request: pytest.FixtureRequest, database_servers: Callable[[str], DatabaseServer], tmp_path: Path) -> str:
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "refmill.db")
    server = database_servers(request.param)
    return server.url(server.database())


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
