"""Secrets of repositories, encrypted with a key that lies elsewhere."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from refmill.clients.database.types import ExactText, LongBytes

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "secrets",
        sa.Column(
            "repository_id",
            sa.String(32),
            sa.ForeignKey("repositories.id", ondelete="CASCADE", name=op.f("fk_secrets_repository_id")),
            nullable=False,
        ),
        sa.Column("name_key", sa.String(64), nullable=False),
        sa.Column("name", ExactText(), nullable=False),
        sa.Column("value", LongBytes(), nullable=False),
        sa.Column("who", sa.String(64), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("repository_id", "name_key", name=op.f("pk_secrets")),
    )
