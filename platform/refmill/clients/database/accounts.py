"""People: accounts, passwords, personal tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import sqlalchemy
from sqlalchemy import exc, func, select

from refmill import errors
from refmill.clients.database import passwords, rows
from refmill.clients.database.connection import Database
from refmill.clients.database.schema import repositories, sessions, tokens, users
from refmill.model import people
from refmill.model.people import Scope, Token, User
from refmill.texts import text

PREFIX = "rfm_"
_SECRET = re.compile(r"rfm_[A-Za-z0-9_-]{43}", re.ASCII)
_USE_STEP = 60_000_000  # `last_used` is written at most once a minute: reads must not become writes
_SCOPES = frozenset({"read", "write", "admin"})


class Accounts:
    """Implements ports.records.People and ports.records.Profiles."""

    def __init__(self, database: Database, *, reserved: frozenset[str] = frozenset()) -> None:
        self._database = database
        self._reserved = reserved
        self._passwords = passwords.Passwords()

    def add(self, name: str, password: str | None, *, admin: bool = False) -> User:
        check_name(name, self._reserved)
        kept = None if password is None else self._make(password)
        with self._database.writing() as connection:
            admins = select(func.count()).select_from(users).where(users.c.admin.is_(True))
            trusted = admin and connection.execute(admins).scalar_one() == 0
            values = {
                "name": name,
                "name_key": name.lower(),
                "password": kept,
                "admin": admin,
                "trusted": trusted,
                "language": "",
                "created": self._database.clock(),
            }
            try:
                result = connection.execute(users.insert().values(**values))
            except exc.IntegrityError as error:
                raise _taken(name) from error
            return User(id=_inserted(result), name=name, admin=admin, trusted=trusted)

    def vacant(self, name: str) -> None:
        check_name(name, self._reserved)
        if self.find(name):
            raise _taken(name)

    def find(self, name: str) -> User | None:
        with self._database.reading() as connection:
            row = connection.execute(select(*rows.USER).where(users.c.name_key == name.lower())).first()
        return None if row is None else rows.user(row)

    def get(self, user_id: int) -> User:
        with self._database.reading() as connection:
            row = connection.execute(select(*rows.USER).where(users.c.id == user_id)).first()
        if row is None:
            raise _nobody()
        return rows.user(row)

    def users(self) -> Sequence[User]:
        with self._database.reading() as connection:
            return [rows.user(row) for row in connection.execute(select(*rows.USER).order_by(users.c.name_key))]

    def change(self, user: User) -> User:
        with self._database.writing() as connection:
            if not user.admin:
                _check_not_last(connection, user.id)
            values = {"admin": user.admin, "trusted": user.trusted, "language": user.language}
            if connection.execute(users.update().where(users.c.id == user.id).values(**values)).rowcount == 0:
                raise _nobody()
        return self.get(user.id)

    def removable(self, user_id: int) -> None:
        with self._database.reading() as connection:
            _check_removable(connection, user_id)

    def remove(self, user_id: int) -> None:
        with self._database.writing() as connection:
            _check_removable(connection, user_id)
            connection.execute(users.delete().where(users.c.id == user_id))

    def check_password(self, name: str, password: str) -> User | None:
        columns = select(*rows.USER, users.c.password).where(users.c.name_key == name.lower())
        with self._database.reading() as connection:
            row = connection.execute(columns).first()
        kept = None if row is None else row.password
        if not self._passwords.is_right(kept, password) or row is None:
            return None
        if self._passwords.is_outdated(row.password):
            renewed = self._passwords.make(password)
            same = (users.c.id == row.id) & (users.c.password == row.password)
            with self._database.writing() as connection:
                connection.execute(users.update().where(same).values(password=renewed))
        return rows.user(row)

    def set_password(self, user_id: int, password: str | None) -> None:
        kept = None if password is None else self._make(password)
        with self._database.writing() as connection:
            changed = connection.execute(users.update().where(users.c.id == user_id).values(password=kept))
            if changed.rowcount == 0:
                raise _nobody()
            connection.execute(sessions.delete().where(sessions.c.user_id == user_id))

    def add_token(
        self, user_id: int, label: str, scopes: Iterable[Scope], expires: int | None = None
    ) -> tuple[Token, str]:
        wanted = frozenset(scopes)
        if not wanted or wanted - _SCOPES:
            raise errors.WrongUse(
                text("A token needs scopes out of: %(known)s.", known=", ".join(sorted(_SCOPES))),
            )
        secret = passwords.new_secret(PREFIX)
        values = {
            "user_id": user_id,
            "label": label,
            "digest": passwords.digest(secret),
            "scopes": ",".join(sorted(wanted)),
            "created": self._database.clock(),
            "expires": expires,
        }
        with self._database.writing() as connection:
            try:
                result = connection.execute(tokens.insert().values(**values))
            except exc.IntegrityError as error:
                raise _nobody() from error
            row = connection.execute(select(tokens).where(tokens.c.id == _inserted(result))).one()
        return rows.token(row), secret

    def check_token(self, secret: str) -> tuple[User, frozenset[Scope]] | None:
        if not _SECRET.fullmatch(secret):
            return None
        found = (
            select(*rows.USER, tokens.c.id.label("token_id"), tokens.c.scopes, tokens.c.expires, tokens.c.last_used)
            .join_from(tokens, users, users.c.id == tokens.c.user_id)
            .where(tokens.c.digest == passwords.digest(secret))
        )
        with self._database.reading() as connection:
            row = connection.execute(found).first()
        now = self._database.clock()
        if row is None or (row.expires is not None and row.expires <= now):
            return None
        if row.last_used is None or abs(now - row.last_used) >= _USE_STEP:
            with self._database.writing() as connection:
                connection.execute(tokens.update().where(tokens.c.id == row.token_id).values(last_used=now))
        return rows.user(row), frozenset(row.scopes.split(","))

    def tokens(self, user_id: int) -> Sequence[Token]:
        mine = select(tokens).where(tokens.c.user_id == user_id).order_by(tokens.c.id.desc())
        with self._database.reading() as connection:
            return [rows.token(row) for row in connection.execute(mine)]

    def revoke(self, user_id: int, token_id: int) -> None:
        mine = (tokens.c.id == token_id) & (tokens.c.user_id == user_id)
        with self._database.writing() as connection:
            if connection.execute(tokens.delete().where(mine)).rowcount == 0:
                raise errors.NotFound(
                    text("There is no such token."), text("`refmill token list USER` shows them with their ids.")
                )

    def _make(self, password: str) -> str:
        if not password:
            raise errors.WrongUse(text("The password is empty."))
        if len(password) < people.LEAST_PASSWORD:
            raise errors.WrongUse(text("A password has at least %(least)s characters.", least=people.LEAST_PASSWORD))
        if len(password.encode("utf-8", "surrogatepass")) > passwords.MAX_PASSWORD:
            raise errors.WrongUse(text("The password is longer than %(limit)s bytes.", limit=passwords.MAX_PASSWORD))
        try:
            return self._passwords.make(password)
        except UnicodeEncodeError as error:
            raise errors.WrongUse(text("The password is not valid UTF-8.")) from error


def check_name(name: str, reserved: frozenset[str] = frozenset()) -> None:
    """Raises WrongUse if no account can be called `name`."""
    if not people.is_name(name, reserved):
        raise errors.WrongUse(
            text("“%(name)s” cannot be the name of an account.", name=name),
            text("Take letters and digits, with single - _ . between them, at most 39, and no word in use by a page."),
        )


def _check_removable(connection: sqlalchemy.Connection, user_id: int) -> None:
    """Raises NotFound, Conflict."""
    name = _check_not_last(connection, user_id)
    owned = select(repositories.c.name).where(repositories.c.owner_id == user_id).order_by(repositories.c.name_key)
    names = [f"{name}/{row.name}" for row in connection.execute(owned)]
    if names:
        raise errors.Conflict(
            text("“%(name)s” owns repositories: %(repositories)s", name=name, repositories=", ".join(names)),
            text("Delete them first: `refmill repo delete OWNER/NAME`."),
        )


def _check_not_last(connection: sqlalchemy.Connection, user_id: int) -> str:
    """The account's name. Raises NotFound, and Conflict if it is the last administrator's."""
    row = connection.execute(select(users.c.name, users.c.admin).where(users.c.id == user_id)).first()
    if row is None:
        raise _nobody()
    others = select(func.count()).select_from(users).where(users.c.admin.is_(True)).where(users.c.id != user_id)
    if row.admin and connection.execute(others).scalar_one() == 0:
        raise errors.Conflict(
            text("“%(name)s” is the last administrator.", name=row.name),
            text("Make somebody else an administrator first."),
        )
    return str(row.name)


def _taken(name: str) -> errors.Conflict:
    return errors.Conflict(
        text("The name “%(name)s” is taken.", name=name), text("Take another; `refmill user list` shows them.")
    )


def _nobody() -> errors.NotFound:
    return errors.NotFound(text("There is no such account."), text("`refmill user list` shows them."))


def _inserted(result: sqlalchemy.CursorResult[object]) -> int:
    key = result.inserted_primary_key
    assert key is not None  # noqa: S101 - an insert of one row has one
    return int(key[0])
