"""How much memory of GPUs a stage held."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add a column that may be empty: of earlier stages nobody knows."""
    op.add_column("stage_attempts", sa.Column("gpu_memory", sa.BigInteger()))
