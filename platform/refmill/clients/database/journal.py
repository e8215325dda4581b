"""Who did what and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from refmill.clients import codec
from refmill.clients.database.connection import Database
from refmill.clients.database.schema import journal
from refmill.ports.records import Note

_LONGEST_LIST = 1000


class AuditJournal:
    """Implements ports.records.Journal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, who: str, what: str, subject: str, **details: Any) -> None:
        values = {
            "at": self._database.clock(),
            "who": who,
            "what": what,
            "subject": subject,
            "details": codec.to_json(details),
        }
        with self._database.writing() as connection:
            connection.execute(journal.insert().values(**values))

    def notes(self, *, limit: int = 100, before: int | None = None, subject: str | None = None) -> Sequence[Note]:
        found = select(journal).order_by(journal.c.id.desc()).limit(max(0, min(limit, _LONGEST_LIST)))
        if before is not None:
            found = found.where(journal.c.id < before)
        if subject is not None:
            found = found.where(journal.c.subject == subject)
        with self._database.reading() as connection:
            return [_note(row) for row in connection.execute(found)]


def _note(row: Any) -> Note:
    return Note(row.id, row.at, row.who, row.what, row.subject, codec.from_json(dict[str, Any], row.details))
