"""Who is signed in with a browser."""

from __future__ import annotations

from sqlalchemy import exc, select

from refmill import errors
from refmill.clients.database import passwords, rows
from refmill.clients.database.connection import Database
from refmill.clients.database.schema import sessions, users
from refmill.model.people import User
from refmill.texts import text

_SEEN_STEP = 60_000_000  # `seen` is written at most once a minute
_LONGEST_SECRET = 64


class WebSessions:
    """Implements ports.records.Sessions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, user_id: int, *, seconds: float) -> str:
        secret = passwords.new_secret()
        now = self._database.clock()
        values = {
            "digest": passwords.digest(secret),
            "user_id": user_id,
            "created": now,
            "seen": now,
            "expires": now + int(seconds * 1_000_000),
        }
        with self._database.writing() as connection:
            connection.execute(sessions.delete().where(sessions.c.expires <= now))
            try:
                connection.execute(sessions.insert().values(**values))
            except exc.IntegrityError as error:
                raise errors.NotFound(text("There is no such account.")) from error
        return secret

    def check(self, secret: str) -> User | None:
        if len(secret) > _LONGEST_SECRET or not secret.isascii():
            return None
        key = passwords.digest(secret)
        found = (
            select(*rows.USER, sessions.c.seen, sessions.c.expires)
            .join_from(sessions, users, users.c.id == sessions.c.user_id)
            .where(sessions.c.digest == key)
        )
        with self._database.reading() as connection:
            row = connection.execute(found).first()
        now = self._database.clock()
        if row is None or row.expires <= now:
            return None
        if abs(now - row.seen) >= _SEEN_STEP:
            with self._database.writing() as connection:
                connection.execute(sessions.update().where(sessions.c.digest == key).values(seen=now))
        return rows.user(row)

    def end(self, secret: str) -> None:
        if len(secret) > _LONGEST_SECRET or not secret.isascii():
            return
        with self._database.writing() as connection:
            connection.execute(sessions.delete().where(sessions.c.digest == passwords.digest(secret)))

    def end_all(self, user_id: int) -> int:
        with self._database.writing() as connection:
            return connection.execute(sessions.delete().where(sessions.c.user_id == user_id)).rowcount
