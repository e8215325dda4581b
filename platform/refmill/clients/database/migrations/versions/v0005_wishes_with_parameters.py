"""What a wish asks beyond its name: the parameters of a retry."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from refmill.clients.database.types import LongText

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add a column that may be empty, as it is for wishes of other kinds."""
    op.add_column("wishes", sa.Column("details", LongText()))
