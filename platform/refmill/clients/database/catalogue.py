"""Which repositories there are, and who may do what in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from sqlalchemy import exc, or_, select

from refmill import errors
from refmill.clients.database import rows
from refmill.clients.database.connection import Database
from refmill.clients.database.schema import former_names, members, repositories, runs, users
from refmill.model import people
from refmill.model.people import Repository, Role, User
from refmill.model.runs import RUN_ENDED
from refmill.texts import text


class RepositoryCatalogue:
    """Implements ports.records.Catalogue and ports.records.Members."""

    def __init__(self, database: Database, *, reserved: frozenset[str] = frozenset()) -> None:
        self._database = database
        self._reserved = reserved

    def add(self, owner: str, name: str, *, public: bool = False, repository_id: str | None = None) -> Repository:
        self._check_name(name)
        repository_id = repository_id or people.new_repository_id()
        with self._database.writing() as connection:
            owner_id = connection.execute(select(users.c.id).where(users.c.name_key == owner.lower())).scalar()
            if owner_id is None:
                raise errors.NotFound(text("There is no account “%(name)s”.", name=owner))
            values = {
                "id": repository_id,
                "owner_id": owner_id,
                "name": name,
                "name_key": name.lower(),
                "public": public,
                "archived": False,
                "default_branch": "main",
                "protected": True,
                "network": True,
                "description": "",
                "created": self._database.clock(),
                "last_number": 0,
            }
            with _taken(name):
                connection.execute(repositories.insert().values(**values))
            _forget(connection, owner_id, name)
            return _get(connection, repository_id)

    def find(self, owner: str, name: str) -> Repository | None:
        owned = rows.repositories().where(users.c.name_key == owner.lower())
        former = select(former_names.c.repository_id).where(
            former_names.c.owner_id == users.c.id, former_names.c.name_key == name.lower()
        )
        with self._database.reading() as connection:
            row = (
                connection.execute(owned.where(repositories.c.name_key == name.lower())).first()
                or connection.execute(owned.where(repositories.c.id == former.scalar_subquery())).first()
            )
        return None if row is None else rows.repository(row)

    def get(self, repository_id: str) -> Repository:
        with self._database.reading() as connection:
            return _get(connection, repository_id)

    def visible(self, user: User | None) -> Sequence[Repository]:
        found = rows.repositories().order_by(users.c.name_key, repositories.c.name_key)
        if user is None:
            found = found.where(repositories.c.public.is_(True))
        elif not user.admin:
            shared = select(members.c.repository_id).where(members.c.user_id == user.id)
            found = found.where(
                or_(repositories.c.public.is_(True), repositories.c.owner_id == user.id, repositories.c.id.in_(shared))
            )
        with self._database.reading() as connection:
            return [rows.repository(row) for row in connection.execute(found)]

    def role(self, user: User | None, repository: Repository) -> Role | None:
        user_id = None if user is None else user.id
        shared = (members.c.repository_id == repositories.c.id) & (members.c.user_id == user_id)
        found = (
            select(repositories.c.owner_id, repositories.c.public, members.c.role)
            .select_from(repositories.outerjoin(members, shared))
            .where(repositories.c.id == repository.id)
        )
        with self._database.reading() as connection:
            row = connection.execute(found).first()
        if row is None:
            return None
        if user is not None and (user.admin or user.id == row.owner_id):
            return "admin"
        role: Role | None = row.role
        return role or ("read" if row.public else None)

    def change(self, repository: Repository) -> Repository:
        self._check_name(repository.name)
        values = {
            "name": repository.name,
            "name_key": repository.name.lower(),
            "public": repository.public,
            "archived": repository.archived,
            "default_branch": repository.default_branch,
            "protected": repository.protected,
            "network": repository.network,
            "description": repository.description,
        }
        this = repositories.c.id == repository.id
        with self._database.writing() as connection:
            before = connection.execute(select(repositories.c.owner_id, repositories.c.name_key).where(this)).first()
            with _taken(repository.name):
                connection.execute(repositories.update().where(this).values(**values))
            if before is not None and before.name_key != repository.name.lower():
                _forget(connection, before.owner_id, repository.name)
                former = {"owner_id": before.owner_id, "name_key": before.name_key, "repository_id": repository.id}
                connection.execute(former_names.insert().values(**former))
            return _get(connection, repository.id)

    def grant(self, repository_id: str, user_id: int, role: Role | None) -> None:
        this = (members.c.repository_id == repository_id) & (members.c.user_id == user_id)
        if role is not None and people.RANK.get(role) is None:
            raise errors.WrongUse(text("“%(role)s” is no role: read, write or admin.", role=role))
        with self._database.writing() as connection:
            connection.execute(members.delete().where(this))
            if role is None:
                return
            try:
                connection.execute(members.insert().values(repository_id=repository_id, user_id=user_id, role=role))
            except exc.IntegrityError as error:
                raise errors.NotFound(text("There is no such account or repository.")) from error

    def members(self, repository_id: str) -> Sequence[tuple[User, Role]]:
        found = (
            select(*rows.USER, members.c.role)
            .join_from(members, users, users.c.id == members.c.user_id)
            .where(members.c.repository_id == repository_id)
            .order_by(users.c.name_key)
        )
        with self._database.reading() as connection:
            return [(rows.user(row), row.role) for row in connection.execute(found)]

    def remove(self, repository_id: str) -> None:
        unfinished = (runs.c.repository_id == repository_id) & runs.c.status.not_in(tuple(RUN_ENDED))
        with self._database.writing() as connection:
            # Its row is held first, as whoever adds a run does: none comes between the look and the end.
            connection.execute(select(repositories.c.id).where(repositories.c.id == repository_id).with_for_update())
            if connection.execute(select(runs.c.id).where(unfinished).limit(1)).first() is not None:
                raise errors.Conflict(text("A run of this repository has not ended."))
            connection.execute(repositories.delete().where(repositories.c.id == repository_id))

    def _check_name(self, name: str) -> None:
        if not people.is_name(name, self._reserved):
            raise errors.WrongUse(
                text("“%(name)s” cannot be the name of a repository.", name=name),
                text(
                    "Take letters and digits, with single - _ . between them, at most 39, and no word in use by a page."
                ),
            )


@contextmanager
def _taken(name: str) -> Iterator[None]:
    """Turns the database's refusal of a second repository of that name into a Conflict."""
    try:
        yield
    except exc.IntegrityError as error:
        raise errors.Conflict(text("There is a repository “%(name)s” already.", name=name)) from error


def _forget(connection: sqlalchemy.Connection, owner_id: int, name: str) -> None:
    """A name in use leads to its bearer alone, no more to a repository that had it before."""
    this = (former_names.c.owner_id == owner_id) & (former_names.c.name_key == name.lower())
    connection.execute(former_names.delete().where(this))


def _get(connection: sqlalchemy.Connection, repository_id: str) -> Repository:
    row: Any = connection.execute(rows.repositories().where(repositories.c.id == repository_id)).first()
    if row is None:
        raise errors.NotFound(text("There is no such repository."))
    return rows.repository(row)
