"""Whether a repository's stages have the network, and how much a stage wrote to disks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add two columns that may be empty: repositories had the network, and what stages wrote nobody knows."""
    op.add_column("repositories", sa.Column("network", sa.Boolean()))
    op.add_column("stage_attempts", sa.Column("written_bytes", sa.BigInteger()))
