"""The records in SQL: SQLite by default, PostgreSQL or MySQL elsewhere.

The rule to keep: every public method of these classes is one short transaction, and nothing of SQLAlchemy leaves it.
"""

from __future__ import annotations

from refmill.clients.database.lease import Candidate, Leases, Seen
from refmill.clients.database.records import Records, open_records, server_url, sqlite_url
from refmill.clients.database.secrets import installation_key

__all__ = ["Candidate", "Leases", "Records", "Seen", "installation_key", "open_records", "server_url", "sqlite_url"]
