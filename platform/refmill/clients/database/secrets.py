"""Secrets of repositories, encrypted at rest.

The rule to keep: the key lies in a file beside the database and never in it, so that a copy of the one opens nothing
without the other. The key is made when it is first needed, and never replaced: what it encrypted would be lost.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets as randomness
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import select

from refmill import errors
from refmill.clients import files
from refmill.clients.database import schema
from refmill.clients.database.connection import Database
from refmill.ports.records import SecretName
from refmill.texts import text

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
SHORTEST, LONGEST = 4, 64 << 10  # bytes: what is shorter cannot be masked, what is longer fits into no environment


class RepositorySecrets:
    """Implements ports.records.Secrets. `key_file` holds the key; None: there can be no secrets here."""

    def __init__(self, database: Database, key_file: Path | None) -> None:
        self._database, self._key_file = database, key_file

    def set(self, repository_id: str, name: str, value: str, who: str) -> None:
        if not _NAME.fullmatch(name):
            raise errors.WrongUse(
                text("“%(name)s” cannot be the name of a secret", name=name[:130]),
                text("Take letters, digits and _, at most 128, and no digit at the beginning."),
            )
        size = len(value.encode("utf-8", "surrogateescape"))
        if not SHORTEST <= size <= LONGEST or "\0" in value:
            raise errors.WrongUse(
                text("a secret has %(least)s to %(most)s bytes, and no NUL", least=SHORTEST, most=LONGEST),
                text("A shorter one could not be kept out of logs; keep a longer one in a file of the object store."),
            )
        where = (schema.secrets.c.repository_id == repository_id) & (schema.secrets.c.name_key == schema.key(name))
        token = self._cipher().encrypt(value.encode("utf-8", "surrogateescape"))
        changing = {"value": token, "who": who, "changed": self._database.clock()}
        with self._database.writing() as connection:
            if connection.execute(schema.secrets.update().where(where).values(**changing)).rowcount == 0:
                row = {"repository_id": repository_id, "name_key": schema.key(name), "name": name, **changing}
                connection.execute(schema.secrets.insert().values(**row))

    def remove(self, repository_id: str, name: str) -> bool:
        where = (schema.secrets.c.repository_id == repository_id) & (schema.secrets.c.name_key == schema.key(name))
        with self._database.writing() as connection:
            return connection.execute(schema.secrets.delete().where(where)).rowcount == 1

    def names(self, repository_id: str) -> Sequence[SecretName]:
        table = schema.secrets.c
        found = select(table.name, table.who, table.changed).where(table.repository_id == repository_id)
        with self._database.reading() as connection:
            return sorted(SecretName(row.name, row.who, row.changed) for row in connection.execute(found))

    def values(self, repository_id: str, names: Iterable[str]) -> Mapping[str, str]:
        table, wanted = schema.secrets.c, [schema.key(name) for name in names]
        found = select(table.name, table.value).where(table.repository_id == repository_id, table.name_key.in_(wanted))
        with self._database.reading() as connection:
            rows = connection.execute(found).all()
        if not rows:
            return {}
        cipher = self._cipher()
        try:
            return {row.name: cipher.decrypt(bytes(row.value)).decode("utf-8", "surrogateescape") for row in rows}
        except InvalidToken as error:
            raise errors.Damaged(
                text("the secrets cannot be read: %(path)s holds another key", path=str(self._key_file)),
                text("Bring the key back that belongs to this database, or set the secrets anew."),
            ) from error

    def _cipher(self) -> Fernet:
        if self._key_file is None:
            raise errors.Unavailable(text("this installation has no key for secrets"))
        return Fernet(installation_key(self._key_file))


def installation_key(path: Path) -> bytes:
    """The key in `path`, made if there is none. Of two who make one at the same time, both get the first."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    beside = path.with_name(f"{path.name}.{randomness.token_hex(8)}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(Fernet.generate_key())
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(beside, path)
    except FileExistsError:
        pass
    finally:
        beside.unlink()
    files.sync(path.parent)
    return path.read_bytes()
