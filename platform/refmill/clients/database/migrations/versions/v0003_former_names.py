"""Names that repositories had before, so that their old addresses lead to them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the table; renamings of the past are known to nobody."""
    op.create_table(
        "former_names",
        sa.Column(
            "owner_id",
            sa.Integer(),
            sa.ForeignKey("users.id", ondelete="CASCADE", name=op.f("fk_former_names_owner_id")),
            nullable=False,
        ),
        sa.Column("name_key", sa.String(64), nullable=False),
        sa.Column(
            "repository_id",
            sa.String(32),
            sa.ForeignKey("repositories.id", ondelete="CASCADE", name=op.f("fk_former_names_repository_id")),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("owner_id", "name_key", name=op.f("pk_former_names")),
    )
    op.create_index(op.f("ix_former_names_repository_id"), "former_names", ["repository_id"])
