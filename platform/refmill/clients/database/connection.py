"""One database: connections, transactions, and the translation of its errors.

The rule to keep: transactions that write come one after the other in every database, so that none finds out half-way
that somebody else was faster, and none is a deadlock's victim: in SQLite each takes the write lock when it begins
(BEGIN IMMEDIATE, never later), elsewhere it holds the one row of the schema's version first.
"""

from __future__ import annotations

import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import event, exc

from refmill import errors
from refmill.model.fences import Fence
from refmill.texts import text

BUSY_SECONDS = 30  # a writer waits that long for another process; a write takes milliseconds
CONNECT_SECONDS = 10
MIGRATION_SECONDS = 600  # that long a process waits for another one to migrate
_WRITES = "refmill_writes"
MOST_CONNECTIONS = 32
"""Of one process to a server: PostgreSQL allows a hundred of all together unless it is told otherwise."""
_LOCK = "SELECT version_num FROM alembic_version FOR UPDATE"
_EPOCH = "SELECT epoch FROM refmill_lease WHERE name = 'server'"
_MIGRATION = "refmill-migration"
_MODE = text("Look at the owner and the mode of the data directory, and whether its disk is full.")

Clock = Callable[[], int]


def now() -> int:
    """UTC microseconds."""
    return time.time_ns() // 1000


class Database:
    """A database and its transactions. Threads may share it; after a fork a process must open its own. `steady` counts
    seconds whatever is done to the clock."""

    def __init__(
        self, url: str, *, clock: Clock = now, steady: Callable[[], float] = time.monotonic,
        fence: Fence | None = None, patience: float = 0.0,
    ) -> None:  # fmt: skip
        """With a `fence`, transactions that write are refused once another server has the lease. With `patience`, a
        server that does not answer for so many seconds is taken to be away."""
        self.url = sqlalchemy.make_url(url)
        self.clock, self.steady = clock, steady
        self._fence = fence
        self.failures = 0
        """Transactions that the database did not answer, or in which it turned out to be damaged."""
        self.kind = self.url.get_backend_name()
        self.is_sqlite = self.kind == "sqlite"
        if self.is_sqlite:
            _make_private(self.url.database)
        self.engine = sqlalchemy.create_engine(self.url, pool_size=8, **_options(self.kind, fence, patience))
        self._writing_engine = self.engine.execution_options(**{_WRITES: True})
        # PostgreSQL would show each statement of a view what was committed just before it.
        views = {"isolation_level": "REPEATABLE READ"} if self.kind == "postgresql" else {}
        self._reading_engine = self.engine.execution_options(**views)
        # SQLite's own waiting polls with growing pauses; inside one process a lock hands over at once.
        self._turn = threading.Lock()
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)

    @contextmanager
    def reading(self) -> Iterator[sqlalchemy.Connection]:
        """A consistent view. Raises Unavailable if the database does not answer."""
        with _translated(self._failed), self._reading_engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlalchemy.Connection]:
        """One transaction, on disk when the block is left; undone if it raises. Raises Unavailable as above, and
        where another server has taken over."""
        with _translated(self._failed), self._turn, self._writing_engine.begin() as connection:
            if not self.is_sqlite:
                connection.exec_driver_sql(_LOCK)
            if self._fence is not None:
                # After the lock, and by itself: whoever takes over holds it too, and a statement that waited for the
                # lock may see what was before its waiting.
                self._check(connection, self._fence)
            yield connection

    @staticmethod
    def _check(connection: sqlalchemy.Connection, fence: Fence) -> None:
        found = connection.exec_driver_sql(_EPOCH).scalar()
        if found != fence.epoch:
            raise errors.Unavailable(
                text(
                    "another server has taken over (%(found)s after %(own)s): this one writes no more",
                    found=found or 0,
                    own=fence.epoch,
                )
            )

    @contextmanager
    def beside(self) -> Iterator[sqlalchemy.Connection]:
        """One transaction that takes no turn and meets no other writer's rows. Raises Unavailable as above."""
        with _translated(self._failed), self._writing_engine.begin() as connection:
            yield connection

    @contextmanager
    def migrating(self) -> Iterator[sqlalchemy.Connection]:
        """One transaction that may remake tables: foreign keys are not followed in it, so that dropping the old copy
        of a table does not delete what refers to it. They are checked before the end. MySQL ends the transaction at
        every change of a table, so there a migration that broke off may be done in part."""
        with _translated(self._failed), self._turn, self.engine.connect() as connection:
            if self.is_sqlite:
                _driver(connection).execute("PRAGMA foreign_keys=OFF")  # has no effect inside a transaction
            try:
                self._hold_migration(connection)
                with connection.execution_options(**{_WRITES: True}).begin():
                    yield connection
                    if self.is_sqlite and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                        raise errors.Damaged(text("The database refers to rows that are not there."))
            finally:
                connection.invalidate()

    def _hold_migration(self, connection: sqlalchemy.Connection) -> None:
        """One process migrates, the others wait; over with the connection. There may be no table to lock yet."""
        if self.kind == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_lock(hashtext(%(name)s))", {"name": _MIGRATION})
            connection.commit()
        elif not self.is_sqlite:
            asked = {"name": _MIGRATION, "wait": MIGRATION_SECONDS}
            if connection.exec_driver_sql("SELECT GET_LOCK(%(name)s, %(wait)s)", asked).scalar() != 1:
                raise errors.Unavailable(text("another process is migrating the database"))
            # Names are compared byte by byte, as in the other databases.
            connection.exec_driver_sql("ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
            connection.commit()

    def check(self) -> None:
        """Read all of it. Raises Damaged if it is not whole, Unavailable if it does not answer."""
        if not self.is_sqlite:
            return
        with self.reading() as connection:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if found != "ok":
            raise damaged(str(found))

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def _failed(self) -> None:
        self.failures += 1


def _options(kind: str, fence: Fence | None, patience: float) -> dict[str, Any]:
    """How a pool of connections to that kind of database is made."""
    if kind == "sqlite":
        return {"max_overflow": 120, "connect_args": {"timeout": BUSY_SECONDS}}
    common = {"max_overflow": MOST_CONNECTIONS - 8, "pool_pre_ping": True, "pool_recycle": 1800}
    idle = max(1, math.ceil(fence.seconds)) if fence is not None and fence.seconds else 0
    made = _postgresql(idle, patience) if kind == "postgresql" else _mysql(idle, patience)
    return {**common, "connect_args": made}


def _postgresql(idle: int, patience: float) -> dict[str, Any]:
    wait = int((patience or BUSY_SECONDS) * 1000)
    limits = f"-c lock_timeout={wait} -c idle_in_transaction_session_timeout={f'{idle}s' if idle else '10min'}"
    limits += " -c default_transaction_isolation=read\\ committed"
    if not patience:
        return {"connect_timeout": CONNECT_SECONDS, "options": limits}
    return {
        "connect_timeout": max(2, int(patience)), "tcp_user_timeout": wait,
        "options": f"{limits} -c statement_timeout={wait}",
    }  # fmt: skip


def _mysql(idle: int, patience: float) -> dict[str, Any]:
    session = f"SET SESSION innodb_lock_wait_timeout = {max(1, int(patience or BUSY_SECONDS))}"
    if idle:
        session += f" /*M!100300 , idle_transaction_timeout = {idle} */"  # MySQL has no such limit
    made: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS, "charset": "utf8mb4", "init_command": session}
    if patience:
        wait = max(1, math.ceil(patience))
        made |= {"connect_timeout": wait, "read_timeout": wait, "write_timeout": wait}
    return made


def _make_private(database: str | None) -> None:
    """The file holds password hashes: nobody else may read it, nor the log beside it, which takes over its mode."""
    if not database or database == ":memory:":
        raise errors.WrongUse(text("An SQLite database needs a file."))
    try:
        Path(database).parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise errors.Unavailable(
            text(
                "The database %(file)s cannot be opened: %(detail)s", file=database, detail=error.strerror or str(error)
            ),
            _MODE,
        ) from error


def _driver(connection: sqlalchemy.Connection) -> Any:
    """The driver's own connection; asking for it begins no transaction."""
    return connection.connection.driver_connection


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN would come late; `_begin_sqlite` says it
    cursor = connection.cursor()
    _switch_to_wal(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _switch_to_wal(cursor: Any) -> None:
    """The very first switch fails at once, whatever the timeout, if another process opens the file as well."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: sqlalchemy.Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _translated(note: Callable[[], None]) -> Iterator[None]:
    """Raises Unavailable and Damaged for errors of the database itself, and tells `note` of them."""
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
        note()
        detail = str(error) if isinstance(error, exc.TimeoutError) else str(error.orig)
        if "readonly" in detail:
            raise errors.Unavailable(
                text("The database cannot be written to: %(detail)s", detail=detail), _MODE
            ) from error
        raise errors.Unavailable(
            text("The database does not answer: %(detail)s", detail=detail),
            text("It may be busy, or its disk may be full; try again in a moment."),
        ) from error
    except exc.DatabaseError as error:
        if error.connection_invalidated:  # it ended a transaction in which nothing was said
            note()
            raise errors.Unavailable(
                text("The database does not answer: %(detail)s", detail=str(error.orig))
            ) from error
        if type(error) is not exc.DatabaseError:  # its kinds, such as IntegrityError, belong to whoever caused them
            raise
        note()
        raise damaged(str(error.orig)) from error


def damaged(detail: str) -> errors.Damaged:
    """The error for a database that cannot be gone on with."""
    return errors.Damaged(
        text("The database is damaged, or no database: %(detail)s", detail=detail),
        text("Go back to a backup of it; `refmill repo reindex` puts later runs back."),
    )
