"""With each result the digest of the environment it was made in, and the name of its inputs to find it by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add two columns that may be empty: of earlier results nobody knows the environment."""
    op.add_column("stage_attempts", sa.Column("environment", sa.String(64)))
    op.add_column("stage_attempts", sa.Column("inputs_key", sa.String(64)))
    op.create_index(op.f("ix_stage_attempts_inputs_key"), "stage_attempts", ["inputs_key"])
