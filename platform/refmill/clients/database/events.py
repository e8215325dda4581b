"""Every push as it goes from announced to handled."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import exc, func, select

from refmill import errors
from refmill.clients.database import rows, schema
from refmill.clients.database.connection import Database
from refmill.clients.database.schema import events
from refmill.model.pushes import Event, RefUpdate
from refmill.texts import text

_OPEN = ("announced", "landed")
_AT_ONCE = 1000
"""Values in one statement; SQLite takes 32,766."""


class EventLog:
    """Implements ports.records.Inbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def announce(
        self, repository_id: str, pusher: str, updates: Iterable[RefUpdate], options: Sequence[str]
    ) -> Sequence[Event]:
        made = []
        now = self._database.clock()
        with self._database.writing() as connection:
            for update in updates:
                values = {
                    "repository_id": repository_id,
                    "ref": update.ref,
                    "ref_key": schema.key(update.ref),
                    "old": update.old,
                    "new": update.new,
                    "pusher": pusher,
                    "state": "announced",
                    "created": now,
                    "options": json.dumps(list(options)),
                    "answer": "[]",
                }
                try:
                    key = connection.execute(events.insert().values(**values)).inserted_primary_key
                except exc.IntegrityError as error:
                    raise errors.NotFound(text("There is no such repository.")) from error
                made.append(key[0] if key else 0)
            written: list[Event] = []
            for some in _in_parts(made):
                found = select(events).where(events.c.id.in_(some)).order_by(events.c.id)
                written += [rows.event(row) for row in connection.execute(found)]
            return written

    def land(self, event_ids: Iterable[int]) -> None:
        with self._database.writing() as connection:
            for some in _in_parts(event_ids):
                these = events.c.id.in_(some) & (events.c.state == "announced")
                connection.execute(events.update().where(these).values(state="landed"))

    def open(self) -> Sequence[Event]:
        with self._database.reading() as connection:
            found = select(events).where(events.c.state.in_(_OPEN)).order_by(events.c.id)
            return [rows.event(row) for row in connection.execute(found)]

    def settle(self, event_id: int, *, handled: bool, run_id: str | None = None, answer: Sequence[str] = ()) -> None:
        values = {"state": "handled" if handled else "void", "run_id": run_id, "answer": json.dumps(list(answer))}
        this = (events.c.id == event_id) & events.c.state.in_(_OPEN)
        with self._database.writing() as connection:
            connection.execute(events.update().where(this).values(**values))

    def get(self, event_id: int) -> Event:
        with self._database.reading() as connection:
            row = connection.execute(select(events).where(events.c.id == event_id)).first()
        if row is None:
            raise errors.NotFound(text("There is no such event."))
        return rows.event(row)

    def handled_tips(self, repository_id: str) -> dict[str, str]:
        # A void event moved nothing, so the one before it still tells where the ref stands.
        latest = (
            select(func.max(events.c.id))
            .where(events.c.repository_id == repository_id, events.c.state != "void")
            .group_by(events.c.ref_key)
        )
        with self._database.reading() as connection:
            found = connection.execute(select(events.c.ref, events.c.new).where(events.c.id.in_(latest)))
            return {row.ref: row.new for row in found}


def _in_parts(ids: Iterable[int]) -> Iterator[list[int]]:
    rest = iter(ids)
    while some := list(itertools.islice(rest, _AT_ONCE)):
        yield some
