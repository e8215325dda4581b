"""Bringing a database to this version's schema when the program starts.

The rule to keep: an older program refuses a newer database; a newer one moves an older database forward, whole or not
at all.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy

from refmill import errors
from refmill.clients.database import schema
from refmill.clients.database.connection import Database
from refmill.texts import text

MIGRATIONS = Path(__file__).with_name("migrations")


def migrate(database: Database) -> bool:
    """Migrate if needed; True if something was changed. Raises Conflict for a database of a newer program."""
    with database.reading() as connection:
        if _is_current(connection):
            return False
    with database.migrating() as connection:
        if _is_current(connection):  # another process was faster while this one waited for the lock
            return False
        _upgrade(connection)
    return True


def _is_current(connection: sqlalchemy.Connection) -> bool:
    if not sqlalchemy.inspect(connection).has_table("alembic_version"):
        return False
    found = connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).scalar()
    if found is not None and (not found.isdigit() or found > schema.REVISION):
        raise errors.Conflict(
            text(
                "The database is of a newer Refmill: its schema is %(found)s, this program knows %(known)s.",
                found=found,
                known=schema.REVISION,
            ),
            text("Start the newer program again, or go back to a backup made before its upgrade."),
        )
    return bool(found == schema.REVISION)


def _upgrade(connection: sqlalchemy.Connection) -> None:
    # Alembic takes a tenth of a second to import and is needed once a release.
    from alembic import command, config  # noqa: PLC0415

    settings = config.Config()
    settings.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    settings.attributes["connection"] = connection
    command.upgrade(settings, schema.REVISION)
