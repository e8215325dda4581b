"""What Alembic runs around the revisions: always on the connection, and in the transaction, that the caller holds."""

from __future__ import annotations

from alembic import context

from refmill.clients.database import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    render_as_batch=True,
)
context.run_migrations()
