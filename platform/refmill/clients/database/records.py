"""All records of one database, ready for use."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy

from refmill.clients.database.accounts import Accounts
from refmill.clients.database.catalogue import RepositoryCatalogue
from refmill.clients.database.connection import Clock, Database, now
from refmill.clients.database.course import RunCourse
from refmill.clients.database.events import EventLog
from refmill.clients.database.history import RunArchive
from refmill.clients.database.journal import AuditJournal
from refmill.clients.database.migrate import migrate
from refmill.clients.database.runs import RunIndex
from refmill.clients.database.secrets import RepositorySecrets
from refmill.clients.database.sessions import WebSessions
from refmill.clients.database.waiting import WaitingRoom
from refmill.ports import records as ports


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
    database: Database

    def close(self) -> None:
        """Close every connection."""
        self.database.close()


def sqlite_url(path: Path) -> str:
    """The address of the SQLite database in the file `path`."""
    return sqlalchemy.URL.create("sqlite", database=str(path.absolute())).render_as_string()


def open_records(
    url: str, *, reserved: frozenset[str] = frozenset(), clock: Clock = now,
    steady: Callable[[], float] = time.monotonic, key_file: Path | None = None,
) -> Records:  # fmt: skip
    """Open the database at `url` (SQLAlchemy's form; see `sqlite_url`), made or migrated to this version's schema.

    `reserved` are the words that no account and no repository may be called; `clock` gives UTC microseconds, `steady`
    seconds that no change of the clock touches; `key_file` is the file of the key with which secrets are encrypted.
    Raises Unavailable if it does not answer, Conflict if it is of a newer program.
    """
    database = Database(url, clock=clock, steady=steady)
    migrate(database)
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
        database=database,
    )
