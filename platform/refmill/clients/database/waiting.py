"""Runs that wait for objects somebody still has to bring."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Select, bindparam, exists, select

from refmill import errors
from refmill.clients.database import rows
from refmill.clients.database.connection import Database
from refmill.clients.database.schema import missing_objects, plans, runs, waiting_runs
from refmill.model.plans import Plan
from refmill.texts import text

_KEYS = 500  # values in one query: databases limit how many it may have
# Put together once: an upload asks this more often than all else is asked.
_BROUGHT = (missing_objects.c.repository_id == bindparam("repository")) & missing_objects.c.md5.in_(
    bindparam("brought", expanding=True)
)
_WAITERS = select(missing_objects.c.run_id).where(_BROUGHT).distinct()


class WaitingRoom:
    """Implements ports.records.Waiting."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def wait_for(self, run_id: str, md5s: Iterable[str]) -> None:
        with self._database.writing() as connection:
            repository_id = connection.execute(select(runs.c.repository_id).where(runs.c.id == run_id)).scalar()
            if repository_id is None:
                raise errors.NotFound(text("There is no such run."))
            connection.execute(missing_objects.delete().where(missing_objects.c.run_id == run_id))
            if connection.execute(select(waiting_runs).where(waiting_runs.c.run_id == run_id)).first() is None:
                connection.execute(waiting_runs.insert().values(run_id=run_id, since=self._database.clock()))
            lacking = [{"run_id": run_id, "md5": md5, "repository_id": repository_id} for md5 in sorted(set(md5s))]
            if lacking:
                connection.execute(missing_objects.insert(), lacking)

    def arrived(self, repository_id: str, md5s: Iterable[str]) -> Sequence[str]:
        brought, ready = list(md5s), list[str]()
        for start in range(0, len(brought), _KEYS):
            ready += self._arrived(repository_id, brought[start : start + _KEYS])
        return ready

    def _arrived(self, repository_id: str, md5s: Sequence[str]) -> Sequence[str]:
        these = {"repository": repository_id, "brought": md5s}
        # Of the thousands of objects of an upload hardly one is waited for: look first, without the write lock.
        with self._database.reading() as connection:
            if connection.execute(_WAITERS, these).first() is None:
                return []
        with self._database.writing() as connection:
            run_ids = list(connection.execute(_WAITERS, these).scalars())
            connection.execute(missing_objects.delete().where(_BROUGHT), these)
            return list(connection.execute(_lacking_nothing().where(waiting_runs.c.run_id.in_(run_ids))).scalars())

    def missing(self, run_id: str) -> frozenset[str]:
        with self._database.reading() as connection:
            found = select(missing_objects.c.md5).where(missing_objects.c.run_id == run_id)
            return frozenset(connection.execute(found).scalars())

    def lacking(self, repository_id: str, md5: str) -> Sequence[str]:
        with self._database.reading() as connection:
            return list(connection.execute(_WAITERS, {"repository": repository_id, "brought": [md5]}).scalars())

    def ready(self) -> Sequence[str]:
        with self._database.reading() as connection:
            return list(connection.execute(_lacking_nothing()).scalars())

    def done(self, run_id: str) -> None:
        with self._database.writing() as connection:
            connection.execute(waiting_runs.delete().where(waiting_runs.c.run_id == run_id))

    def replan(self, run_id: str, plan: Plan) -> None:
        body = rows.plan_body(plan)
        with self._database.writing() as connection:
            if connection.execute(plans.update().where(plans.c.run_id == run_id).values(body=body)).rowcount == 0:
                raise errors.NotFound(text("There is no such run."))


def _lacking_nothing() -> Select[str]:
    lacking = exists().where(missing_objects.c.run_id == waiting_runs.c.run_id)
    return select(waiting_runs.c.run_id).where(~lacking).order_by(waiting_runs.c.since, waiting_runs.c.run_id)
