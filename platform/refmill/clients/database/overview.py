"""What whoever watches the platform asks, every few seconds.

The rule to keep: every query goes through an index to what is under way. A scrape must cost the same when a million
runs have ended (a test looks at the plans that SQLite makes).
"""

from __future__ import annotations

from collections import Counter

import sqlalchemy
from sqlalchemy import func, select

from refmill.clients.database.connection import Database
from refmill.clients.database.schema import events, repositories, runs, stage_attempts, users, waiting_runs
from refmill.model.runs import RunStatus
from refmill.ports.records import Standing

_WAITS = waiting_runs.c.run_id.is_not(None)
RUNS = (
    select(runs.c.status, runs.c.engine, _WAITS.label("waits"), func.count().label("many"), func.min(runs.c.created))
    .join_from(runs, waiting_runs, waiting_runs.c.run_id == runs.c.id, isouter=True)
    .where(runs.c.status.in_(("queued", "running", "paused")))
    .group_by(runs.c.status, runs.c.engine, _WAITS)
)
STAGES = (
    # Earlier attempts of a stage have ended. Those of queued runs, which may be thousands, are all pending.
    select(stage_attempts.c.status, func.count())
    .join(runs, runs.c.id == stage_attempts.c.run_id)
    .where(
        runs.c.status.in_(("running", "paused")),
        stage_attempts.c.status.in_(("pending", "blocked", "queued", "running")),
    )
    .group_by(stage_attempts.c.status)
)
EVENTS = (
    select(events.c.state, func.count(), func.min(events.c.created))
    .where(events.c.state.in_(("announced", "landed")))
    .group_by(events.c.state)
)


class DatabaseOverview:
    """Implements ports.records.Overview."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def standing(self) -> Standing:
        with self._database.reading() as connection:
            found = connection.execute(RUNS).all()
            stages = {row[0]: row[1] for row in connection.execute(STAGES)}
            open_ = {state: (many, oldest) for state, many, oldest in connection.execute(EVENTS)}
            hosted, people = (_count(connection, table) for table in (repositories, users))
        many: Counter[tuple[RunStatus, str]] = Counter()
        for status, engine, _, count, _ in found:
            many[status, engine] += count
        queued = [oldest for status, _, waits, _, oldest in found if status == "queued" and not waits]
        return Standing(
            runs=dict(many), lacking=sum(count for _, _, waits, count, _ in found if waits),
            queued=min(queued, default=None), stages=stages,
            events={state: count for state, (count, _) in open_.items()},
            landed=open_["landed"][1] if "landed" in open_ else None, repositories=hosted, users=people,
        )  # fmt: skip


def _count(connection: sqlalchemy.Connection, table: sqlalchemy.Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()
