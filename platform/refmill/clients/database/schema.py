"""The tables, as this version of the program reads and writes them.

The rules to keep: no ENUM, no ARRAY; times are BIGINT UTC microseconds; what is unique without regard to case has a
lower-cased column beside it; refs and stage addresses are found by the SHA-256 of their bytes, because some databases
compare text without regard to case. A change here needs a migration, and a higher REVISION (a test compares both).
"""

from __future__ import annotations

import hashlib

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

from refmill.clients.database.types import ExactText, LongBytes, LongText, ShortText

REVISION = "0007"
"""The newest migration; revisions are four digits and count up."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def key(name: str) -> str:
    """The column by which a ref or an address is found: SHA-256 of its bytes, 64 hex digits."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("name_key", String(64), nullable=False, unique=True),
    Column("password", String(255)),
    Column("admin", Boolean, nullable=False),
    Column("trusted", Boolean, nullable=False),
    Column("language", String(16), nullable=False),
    Column("created", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("label", ShortText, nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("scopes", String(64), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger),
    Column("last_used", BigInteger),
    sqlite_autoincrement=True,
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False, index=True),
)

repositories = Table(
    "repositories",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("owner_id", ForeignKey("users.id"), nullable=False),
    Column("name", String(64), nullable=False),
    Column("name_key", String(64), nullable=False),
    Column("public", Boolean, nullable=False),
    Column("archived", Boolean, nullable=False),
    Column("default_branch", ShortText, nullable=False),
    Column("protected", Boolean, nullable=False),
    Column("network", Boolean),
    Column("description", LongText, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("last_number", Integer, nullable=False),
    UniqueConstraint("owner_id", "name_key"),
)

former_names = Table(
    "former_names",
    metadata,
    Column("owner_id", ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("name_key", String(64), primary_key=True),
    Column("repository_id", ForeignKey("repositories.id", ondelete="CASCADE"), nullable=False, index=True),
)
"""Names that repositories had before. A name is never both here and in `repositories`."""

secrets = Table(
    "secrets",
    metadata,
    Column("repository_id", ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True),
    Column("name_key", String(64), primary_key=True),
    Column("name", ExactText, nullable=False),
    Column("value", LongBytes, nullable=False),
    Column("who", String(64), nullable=False),
    Column("changed", BigInteger, nullable=False),
)
"""Values that stages may have: Fernet tokens, whose key is no part of the database."""

members = Table(
    "members",
    metadata,
    Column("repository_id", ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("role", String(16), nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("repository_id", ForeignKey("repositories.id", ondelete="CASCADE"), nullable=False),
    Column("ref", ExactText, nullable=False),
    Column("ref_key", String(64), nullable=False),
    Column("old", String(64), nullable=False),
    Column("new", String(64), nullable=False),
    Column("pusher", String(64), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("created", BigInteger, nullable=False),
    Column("options", LongText, nullable=False),
    Column("run_id", String(32)),
    Column("answer", LongText, nullable=False),
    Index(None, "repository_id", "ref_key"),
    sqlite_autoincrement=True,
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("repository_id", ForeignKey("repositories.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("commit_sha", String(64), nullable=False),
    Column("ref", ExactText, nullable=False),
    Column("ref_key", String(64), nullable=False),
    Column("project", ExactText, nullable=False),
    Column("status", String(16), nullable=False, index=True),
    Column("subject", LongText, nullable=False),
    Column("created_by", String(64), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("started", BigInteger),
    Column("finished", BigInteger),
    Column("attempt", Integer, nullable=False),
    Column("parameters", LongText, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("explanation", LongText),
    Column("experiment", String(255)),
    Column("engine", String(32), nullable=False),
    UniqueConstraint("repository_id", "number"),
    Index(None, "repository_id", "created"),
)

plans = Table(
    "plans",
    metadata,
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("body", LongBytes, nullable=False),
)

stage_attempts = Table(
    "stage_attempts",
    metadata,
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("address_key", String(64), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, nullable=False),
    Column("address", ExactText, nullable=False),
    Column("status", String(16), nullable=False),
    Column("started", BigInteger),
    Column("finished", BigInteger),
    Column("seconds", Float),
    Column("exit_code", Integer),
    Column("explanation", LongText),
    Column("entry", LongText),
    Column("cpu_seconds", Float, nullable=False),
    Column("peak_memory", BigInteger, nullable=False),
    Column("output_bytes", BigInteger, nullable=False),
    Column("written_bytes", BigInteger),
    Column("gpu_memory", BigInteger),
    Column("environment", String(64)),
    Column("inputs_key", String(64), index=True),
)

wishes = Table(
    "wishes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("wish", String(32), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("details", LongText),
    UniqueConstraint("run_id", "wish"),
    sqlite_autoincrement=True,
)

waiting_runs = Table(
    "waiting_runs",
    metadata,
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("since", BigInteger, nullable=False),
)

missing_objects = Table(
    "missing_objects",
    metadata,
    Column("run_id", ForeignKey("waiting_runs.run_id", ondelete="CASCADE"), primary_key=True),
    Column("md5", String(40), primary_key=True),
    Column("repository_id", ForeignKey("repositories.id", ondelete="CASCADE"), nullable=False),
    Index(None, "repository_id", "md5"),
)

journal = Table(
    "journal",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("who", String(64), nullable=False),
    Column("what", String(64), nullable=False),
    Column("subject", ShortText, nullable=False, index=True),
    Column("details", LongText, nullable=False),
    sqlite_autoincrement=True,
)
