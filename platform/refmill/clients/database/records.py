"""All records of one database, ready for use."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy
from sqlalchemy import exc

from refmill import errors
from refmill.clients.database.accounts import Accounts
from refmill.clients.database.catalogue import RepositoryCatalogue
from refmill.clients.database.connection import Clock, Database, now
from refmill.clients.database.course import RunCourse
from refmill.clients.database.events import EventLog
from refmill.clients.database.history import RunArchive
from refmill.clients.database.journal import AuditJournal
from refmill.clients.database.migrate import migrate
from refmill.clients.database.overview import DatabaseOverview
from refmill.clients.database.runs import RunIndex
from refmill.clients.database.secrets import RepositorySecrets
from refmill.clients.database.sessions import WebSessions
from refmill.clients.database.waiting import WaitingRoom
from refmill.model.fences import Fence
from refmill.ports import records as ports
from refmill.texts import text


@dataclass(frozen=True, slots=True)
class Records:
    """The ports of refmill.ports.records, over one database that threads may share."""

    people: ports.People
    profiles: ports.Profiles
    sessions: ports.Sessions
    catalogue: ports.Catalogue
    members: ports.Members
    inbox: ports.Inbox
    runs: ports.Runs
    states: ports.RunStates
    history: ports.RunHistory
    waiting: ports.Waiting
    journal: ports.Journal
    secrets: ports.Secrets
    overview: ports.Overview
    database: Database

    def close(self) -> None:
        """Close every connection."""
        self.database.close()


def sqlite_url(path: Path) -> str:
    """The address of the SQLite database in the file `path`."""
    return sqlalchemy.URL.create("sqlite", database=str(path.absolute())).render_as_string()


DRIVERS = {
    "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql", "mariadb": "mysql+pymysql",
}  # fmt: skip


def server_url(address: str) -> str:
    """The address of a database server as people write it, with the driver that is used here. Raises WrongUse."""
    try:
        found = sqlalchemy.make_url(address)
        driver = DRIVERS[found.drivername]
    except (exc.ArgumentError, KeyError, ValueError) as error:
        raise errors.WrongUse(
            text("the setting “database” names no database that can be used"),
            text(
                "Write postgresql://USER:PASSWORD@HOST/NAME or mysql://USER:PASSWORD@HOST/NAME; empty is a file in "
                "the data directory."
            ),
        ) from error
    if not found.database:
        raise errors.WrongUse(
            text("the setting “database” names a server, but no database on it"),
            text("Make one there, and write its name at the end: postgresql://USER:PASSWORD@HOST/NAME."),
        )
    return found.set(drivername=driver).render_as_string(hide_password=False)


def open_records(
    url: str, *, reserved: frozenset[str] = frozenset(), clock: Clock = now,
    steady: Callable[[], float] = time.monotonic, key_file: Path | None = None, fence: Fence | None = None,
) -> Records:  # fmt: skip
    """Open the database at `url` (see `sqlite_url` and `server_url`), made or migrated to this version's schema.

    `reserved` are the words that no account and no repository may be called; `clock` gives UTC microseconds, `steady`
    seconds that no change of the clock touches; `key_file` is the file of the key with which secrets are encrypted;
    `fence` is the lease that a server writes under.
    Raises Unavailable if it does not answer, Conflict if it is of a newer program.
    """
    database = Database(url, clock=clock, steady=steady, fence=fence)
    try:
        migrate(database)
    except BaseException:
        database.close()
        raise
    accounts = Accounts(database, reserved=reserved)
    catalogue = RepositoryCatalogue(database, reserved=reserved)
    return Records(
        people=accounts,
        profiles=accounts,
        sessions=WebSessions(database),
        catalogue=catalogue,
        members=catalogue,
        inbox=EventLog(database),
        runs=RunIndex(database),
        states=RunCourse(database),
        history=RunArchive(database),
        waiting=WaitingRoom(database),
        journal=AuditJournal(database),
        secrets=RepositorySecrets(database, key_file),
        overview=DatabaseOverview(database),
        database=database,
    )
