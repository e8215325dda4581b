"""The first records: people, repositories, events, runs, what runs wait for, the journal."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from refmill.clients.database.types import ExactText, LongBytes, LongText, ShortText

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    _people()
    _repositories()
    _runs()
    _courses()


def _people() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("name_key", sa.String(64), nullable=False),
        sa.UniqueConstraint("name_key", name=op.f("uq_users_name_key")),
        sa.Column("password", sa.String(255)),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.Column("trusted", sa.Boolean(), nullable=False),
        sa.Column("language", sa.String(16), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column(
            "user_id",
            sa.Integer(),
            sa.ForeignKey("users.id", ondelete="CASCADE", name=op.f("fk_tokens_user_id")),
            nullable=False,
        ),
        sa.Column("label", ShortText(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.UniqueConstraint("digest", name=op.f("uq_tokens_digest")),
        sa.Column("scopes", sa.String(64), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger()),
        sa.Column("last_used", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_tokens_user_id"), "tokens", ["user_id"])
    op.create_table(
        "sessions",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column(
            "user_id",
            sa.Integer(),
            sa.ForeignKey("users.id", ondelete="CASCADE", name=op.f("fk_sessions_user_id")),
            nullable=False,
        ),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_user_id"), "sessions", ["user_id"])
    op.create_index(op.f("ix_sessions_expires"), "sessions", ["expires"])
    op.create_table(
        "journal",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.String(64), nullable=False),
        sa.Column("what", sa.String(64), nullable=False),
        sa.Column("subject", ShortText(), nullable=False),
        sa.Column("details", LongText(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_journal_subject"), "journal", ["subject"])


def _repositories() -> None:
    op.create_table(
        "repositories",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column(
            "owner_id", sa.Integer(), sa.ForeignKey("users.id", name=op.f("fk_repositories_owner_id")), nullable=False
        ),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("name_key", sa.String(64), nullable=False),
        sa.Column("public", sa.Boolean(), nullable=False),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.Column("default_branch", ShortText(), nullable=False),
        sa.Column("protected", sa.Boolean(), nullable=False),
        sa.Column("description", LongText(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("last_number", sa.Integer(), nullable=False),
        sa.UniqueConstraint("owner_id", "name_key", name=op.f("uq_repositories_owner_id_name_key")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repositories")),
    )
    op.create_table(
        "members",
        sa.Column(
            "repository_id",
            sa.String(32),
            sa.ForeignKey("repositories.id", ondelete="CASCADE", name=op.f("fk_members_repository_id")),
            nullable=False,
        ),
        sa.Column(
            "user_id",
            sa.Integer(),
            sa.ForeignKey("users.id", ondelete="CASCADE", name=op.f("fk_members_user_id")),
            nullable=False,
        ),
        sa.Column("role", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("repository_id", "user_id", name=op.f("pk_members")),
    )
    op.create_index(op.f("ix_members_user_id"), "members", ["user_id"])
    op.create_table(
        "events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column(
            "repository_id",
            sa.String(32),
            sa.ForeignKey("repositories.id", ondelete="CASCADE", name=op.f("fk_events_repository_id")),
            nullable=False,
        ),
        sa.Column("ref", ExactText(), nullable=False),
        sa.Column("ref_key", sa.String(64), nullable=False),
        sa.Column("old", sa.String(64), nullable=False),
        sa.Column("new", sa.String(64), nullable=False),
        sa.Column("pusher", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("options", LongText(), nullable=False),
        sa.Column("run_id", sa.String(32)),
        sa.Column("answer", LongText(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_events_state"), "events", ["state"])
    op.create_index(op.f("ix_events_repository_id_ref_key"), "events", ["repository_id", "ref_key"])


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column(
            "repository_id",
            sa.String(32),
            sa.ForeignKey("repositories.id", ondelete="CASCADE", name=op.f("fk_runs_repository_id")),
            nullable=False,
        ),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("commit_sha", sa.String(64), nullable=False),
        sa.Column("ref", ExactText(), nullable=False),
        sa.Column("ref_key", sa.String(64), nullable=False),
        sa.Column("project", ExactText(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("subject", LongText(), nullable=False),
        sa.Column("created_by", sa.String(64), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("started", sa.BigInteger()),
        sa.Column("finished", sa.BigInteger()),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("parameters", LongText(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("explanation", LongText()),
        sa.Column("experiment", sa.String(255)),
        sa.Column("engine", sa.String(32), nullable=False),
        sa.UniqueConstraint("repository_id", "number", name=op.f("uq_runs_repository_id_number")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_index(op.f("ix_runs_status"), "runs", ["status"])
    op.create_index(op.f("ix_runs_repository_id_created"), "runs", ["repository_id", "created"])
    op.create_table(
        "plans",
        sa.Column(
            "run_id",
            sa.String(32),
            sa.ForeignKey("runs.id", ondelete="CASCADE", name=op.f("fk_plans_run_id")),
            nullable=False,
        ),
        sa.Column("body", LongBytes(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_plans")),
    )
    op.create_table(
        "stage_attempts",
        sa.Column(
            "run_id",
            sa.String(32),
            sa.ForeignKey("runs.id", ondelete="CASCADE", name=op.f("fk_stage_attempts_run_id")),
            nullable=False,
        ),
        sa.Column("address_key", sa.String(64), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("address", ExactText(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("started", sa.BigInteger()),
        sa.Column("finished", sa.BigInteger()),
        sa.Column("seconds", sa.Float()),
        sa.Column("exit_code", sa.Integer()),
        sa.Column("explanation", LongText()),
        sa.Column("entry", LongText()),
        sa.Column("cpu_seconds", sa.Float(), nullable=False),
        sa.Column("peak_memory", sa.BigInteger(), nullable=False),
        sa.Column("output_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "address_key", "attempt", name=op.f("pk_stage_attempts")),
    )


def _courses() -> None:
    op.create_table(
        "wishes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column(
            "run_id",
            sa.String(32),
            sa.ForeignKey("runs.id", ondelete="CASCADE", name=op.f("fk_wishes_run_id")),
            nullable=False,
        ),
        sa.Column("wish", sa.String(32), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("run_id", "wish", name=op.f("uq_wishes_run_id_wish")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_wishes")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "waiting_runs",
        sa.Column(
            "run_id",
            sa.String(32),
            sa.ForeignKey("runs.id", ondelete="CASCADE", name=op.f("fk_waiting_runs_run_id")),
            nullable=False,
        ),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_waiting_runs")),
    )
    op.create_table(
        "missing_objects",
        sa.Column(
            "run_id",
            sa.String(32),
            sa.ForeignKey("waiting_runs.run_id", ondelete="CASCADE", name=op.f("fk_missing_objects_run_id")),
            nullable=False,
        ),
        sa.Column("md5", sa.String(40), nullable=False),
        sa.Column(
            "repository_id",
            sa.String(32),
            sa.ForeignKey("repositories.id", ondelete="CASCADE", name=op.f("fk_missing_objects_repository_id")),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("run_id", "md5", name=op.f("pk_missing_objects")),
    )
    op.create_index(op.f("ix_missing_objects_repository_id_md5"), "missing_objects", ["repository_id", "md5"])
