"""Which of several servers may write: one row says who, by a number that each new one raises (its epoch).

Its holder renews the row again and again. Whoever wants it takes it once the row has stood unchanged for as long as a
lease lasts, by the clock of the one who waits. The table is none of those that migrations make: the lease is held
before the database is brought forward.

The rule to keep: nobody's clock is compared with another's, and no change of a clock counts. A holder reckons from
before it asked for the renewal, whoever waits from after it saw it, so the holder's lease is over first.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import sqlalchemy
from sqlalchemy import BigInteger, Column, Float, MetaData, String, Table, exc
from sqlalchemy.schema import CreateTable

from refmill import errors
from refmill.clients.database.connection import Database
from refmill.texts import text

NAME = "server"
WIDTH = 255
_TABLE = Table(
    "refmill_lease",
    MetaData(),
    Column("name", String(32), primary_key=True),
    Column("holder", String(WIDTH), nullable=False),
    Column("mark", String(WIDTH), nullable=False),
    Column("seconds", Float, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("beat", BigInteger, nullable=False),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
    mysql_collate="utf8mb4_bin",
)
_ROW = _TABLE.c.name == NAME


@dataclass(frozen=True, slots=True)
class Seen:
    """The row: who has it ("" is nobody), a `mark` of where that one runs, how many `seconds` its lease lasts (0: it
    has no end, and is not renewed), its number, and how often it was renewed."""

    holder: str
    mark: str
    seconds: float
    epoch: int
    beat: int


class Leases:
    """The row of one database server. Threads may share it. All of it raises Unavailable if the database does not
    answer within `patience` seconds."""

    def __init__(self, url: str, *, patience: float) -> None:
        self._database = Database(url, patience=patience)
        self._made = False
        self._holder = ""

    def look(self) -> Seen:
        """The row as it stands."""
        if not self._made:
            self._make()
        with self._database.reading() as connection:
            row = connection.execute(sqlalchemy.select(_TABLE).where(_ROW)).one()
        return Seen(row.holder, row.mark, row.seconds, row.epoch, row.beat)

    def take(self, seen: Seen, *, holder: str, mark: str, seconds: float) -> int:
        """Take the row if it stands as it was `seen`: gives the new epoch, or 0 if somebody was faster. When this
        returns, every transaction of an earlier epoch is over, and each that begins is refused."""
        who = {"holder": holder[:WIDTH], "mark": mark[:WIDTH]}
        with self._taking() as connection:
            done = connection.execute(
                sqlalchemy.update(_TABLE)
                .where(_ROW, _TABLE.c.epoch == seen.epoch, _TABLE.c.beat == seen.beat)
                .values(**who, seconds=seconds, epoch=seen.epoch + 1, beat=0)
            )
            taken = done.rowcount == 1
        if taken:
            self._holder = who["holder"]
        return seen.epoch + 1 if taken else 0

    def renew(self, epoch: int) -> bool:
        """Say that the holder of that epoch lives; False if another one has the row."""
        return self._change(epoch, beat=_TABLE.c.beat + 1)

    def holds(self, epoch: int) -> bool:
        """Whether the row is still that of that epoch, as it was taken here."""
        found = self.look()
        return (found.epoch, found.holder) == (epoch, self._holder)

    def release(self, epoch: int) -> None:
        """Give the row back, if it is still that of that epoch."""
        self._change(epoch, beat=_TABLE.c.beat + 1, holder="", mark="")

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def _change(self, epoch: int, **values: object) -> bool:
        """Not in the writers' turn: a renewal waits for no writer. A database that was set back may have given the same
        epoch twice; so the holder counts as well."""
        own = _ROW, _TABLE.c.epoch == epoch, _TABLE.c.holder == self._holder
        statement = sqlalchemy.update(_TABLE).where(*own).values(**values)
        with self._database.beside() as connection:
            return connection.execute(statement).rowcount == 1

    def _taking(self) -> AbstractContextManager[sqlalchemy.Connection]:
        """A transaction in the writers' turn; where there are no tables yet, nobody writes."""
        with self._database.reading() as connection:
            made = sqlalchemy.inspect(connection).has_table("alembic_version")
        return self._database.writing() if made else self._database.beside()

    def _make(self) -> None:
        """The table and its row; others may be making them as well."""
        for once_more in (True, False):
            try:
                self._make_once()
            except (exc.IntegrityError, exc.ProgrammingError) as error:
                if not once_more:
                    raise errors.Unavailable(
                        text("the table of the lease cannot be made: %(detail)s", detail=str(error.orig)),
                        text("The user of the setting “database” must be allowed to make tables there."),
                    ) from error
            else:
                break
        self._made = True

    def _make_once(self) -> None:
        row = {"name": NAME, "holder": "", "mark": "", "seconds": 0.0, "epoch": 0, "beat": 0}
        with self._database.beside() as connection:
            connection.execute(CreateTable(_TABLE, if_not_exists=True))
            if connection.execute(sqlalchemy.select(_TABLE.c.epoch).where(_ROW)).first() is None:
                connection.execute(sqlalchemy.insert(_TABLE).values(row))


class Candidate:
    """Looks at the row again and again, until it may be taken. `steady` counts seconds whatever is done to the clock.

    With `waits` it is a standby, which takes nothing from a server without end: that one may live. Without, it is told
    to be the one server, and only holds back before a lease that is being renewed."""

    def __init__(
        self, leases: Leases, *, holder: str, mark: str, seconds: float, waits: bool, steady: Callable[[], float]
    ) -> None:
        self._leases, self._waits, self._steady = leases, waits, steady
        self._holder, self._mark, self._seconds = holder, mark, seconds
        self._since = 0.0
        self.seen: Seen | None = None
        """The row as it was last seen."""

    def tried(self, alone: Callable[[], bool]) -> int:
        """The epoch if it could be taken, 0 if it has to be waited for. `alone` takes the locks of the data directory:
        with them, no other server lives that runs under this kernel on this directory. Raises Conflict if the row may
        not be waited for, Unavailable if the database does not answer."""
        found = self._leases.look()
        if self.seen is None or (self.seen.epoch, self.seen.beat) != (found.epoch, found.beat):
            if self.seen is not None and not self._waits and found.holder:
                raise errors.Conflict(
                    text("another Refmill holds the database: %(holder)s", holder=found.holder),
                    text("Stop that one first, or start this one with --standby, so that it waits."),
                )
            self.seen, self._since = found, self._steady()
        if not self._free(found, alone):
            return 0
        # Whoever has no locks cannot be told dead by them.
        mark = self._mark if alone() else ""
        return self._leases.take(found, holder=self._holder, mark=mark, seconds=self._seconds)

    def _free(self, found: Seen, alone: Callable[[], bool]) -> bool:
        if not found.holder:
            return alone()
        if found.mark and found.mark == self._mark and alone():
            return True  # it ran here, and is dead: the kernel has its locks back
        if not found.seconds:
            return not self._waits and alone()
        return self._steady() - self._since >= found.seconds
