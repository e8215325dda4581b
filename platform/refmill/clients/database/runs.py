"""The index of runs: making and reading them.

The rule to keep: a run's number is counted in the transaction that inserts it, on the row of its repository, so that
numbers are never given twice, even after a run is taken away.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import bindparam, select

from refmill import errors
from refmill.clients import codec
from refmill.clients.database import rows, schema
from refmill.clients.database.connection import Database
from refmill.clients.database.schema import plans, repositories, runs, stage_attempts
from refmill.model.plans import Plan
from refmill.model.runs import Run, RunStatus, StageRun
from refmill.texts import text

_LONGEST_LIST = 1000


class RunIndex:
    """Implements ports.records.Runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, run: Run, plan: Plan, stages: Iterable[StageRun]) -> Run:
        body = rows.plan_body(plan)
        positions = list(enumerate(stages))
        with self._database.writing() as connection:
            this = repositories.c.id == run.repository_id
            # The repository's row is held first: two that insert the same run come one after the other.
            counted = connection.execute(select(repositories.c.last_number).where(this).with_for_update()).scalar()
            if counted is None:
                raise errors.NotFound(text("There is no such repository."))
            known = connection.execute(_BY_ID, {"of_run": run.id}).first()
            if known is not None:
                return rows.run(known)
            number = counted + 1
            connection.execute(repositories.update().where(this).values(last_number=number))
            connection.execute(runs.insert().values(**_values(run), number=number))
            connection.execute(plans.insert().values(run_id=run.id, body=body))
            if positions:
                connection.execute(stage_attempts.insert(), [attempt_row(run.id, *item) for item in positions])
            return rows.run(connection.execute(_BY_ID, {"of_run": run.id}).one())

    def restore(self, run: Run, plan: Plan, attempts: Iterable[StageRun]) -> bool:
        body, found = rows.plan_body(plan), list(attempts)
        positions = {address: place for place, address in enumerate(dict.fromkeys(item.address for item in found))}
        with self._database.writing() as connection:
            this = repositories.c.id == run.repository_id
            counted = connection.execute(select(repositories.c.last_number).where(this).with_for_update()).scalar()
            if counted is None:
                raise errors.NotFound(text("There is no such repository."))
            same = (runs.c.repository_id == run.repository_id) & (runs.c.number == run.number)
            if connection.execute(select(runs.c.id).where((runs.c.id == run.id) | same)).first() is not None:
                return False
            highest = max(counted, run.number)
            connection.execute(repositories.update().where(this).values(last_number=highest))
            connection.execute(runs.insert().values(**_values(run), number=run.number))
            connection.execute(plans.insert().values(run_id=run.id, body=body))
            if found:
                attempt_rows = [attempt_row(run.id, positions[item.address], item) for item in found]
                connection.execute(stage_attempts.insert(), attempt_rows)
            return True

    def get(self, run_id: str) -> Run:
        return self._one(_BY_ID, of_run=run_id)

    def by_number(self, repository_id: str, number: int) -> Run:
        return self._one(_BY_NUMBER, of_repository=repository_id, of_number=number)

    def list(
        self,
        repository_ids: Iterable[str],
        *,
        statuses: Iterable[RunStatus] = (),
        limit: int = 50,
        before: int | None = None,
        project: str | None = None,
        ref: str | None = None,
    ) -> Sequence[Run]:
        if limit < 1:
            raise errors.WrongUse(text("a list has a limit of at least 1, not %(limit)s", limit=limit))
        asked = tuple(repository_ids)
        found = rows.runs().where(runs.c.repository_id.in_(asked))
        wanted = tuple(statuses)
        if wanted:
            found = found.where(runs.c.status.in_(wanted))
        if before is not None:
            found = found.where(runs.c.created < before)
        if project is not None:
            found = found.where(runs.c.project == project)
        if ref is not None:
            found = found.where(runs.c.ref_key == schema.key(ref))
        if len(asked) > 1 or before is not None:
            found = found.order_by(runs.c.created.desc(), runs.c.number.desc())
        else:  # numbers count up also when the clock was set back
            found = found.order_by(runs.c.number.desc())
        found = found.limit(min(limit, _LONGEST_LIST))
        with self._database.reading() as connection:
            return [rows.run(row) for row in connection.execute(found)]

    def plan(self, run_id: str) -> Plan:
        return codec.from_json(Plan, self.plan_json(run_id))

    def plan_json(self, run_id: str) -> str:
        with self._database.reading() as connection:
            body = connection.execute(select(plans.c.body).where(plans.c.run_id == run_id)).scalar()
        if body is None:
            raise errors.NotFound(text("There is no such run."))
        return rows.plan_json(body)

    def stages(self, run_id: str) -> Sequence[StageRun]:
        with self._database.reading() as connection:
            return latest(connection.execute(ATTEMPTS, {"of_run": run_id}))

    def _one(self, asked: sqlalchemy.Select[Any], **values: str | int) -> Run:
        with self._database.reading() as connection:
            row = connection.execute(asked, values).first()
        if row is None:
            raise errors.NotFound(text("There is no such run."))
        return rows.run(row)


# To build a statement takes longer than to carry it out, and pods ask these again and again.
_BY_ID = rows.runs().where(runs.c.id == bindparam("of_run"))
_BY_NUMBER = rows.runs().where(
    runs.c.repository_id == bindparam("of_repository"), runs.c.number == bindparam("of_number")
)
_ATTEMPTS = select(stage_attempts).order_by(
    stage_attempts.c.run_id, stage_attempts.c.position, stage_attempts.c.address_key, stage_attempts.c.attempt
)
ATTEMPTS = _ATTEMPTS.where(stage_attempts.c.run_id == bindparam("of_run"))
"""`attempts_of` one run, `of_run`."""


def attempts_of(run_ids: Iterable[str]) -> sqlalchemy.Select[Any]:
    """All attempts of these runs, in the plans' order, each stage's attempts counting up."""
    return _ATTEMPTS.where(stage_attempts.c.run_id.in_(tuple(run_ids)))


def latest(found: Iterable[Any]) -> Sequence[StageRun]:
    """The last attempt of each stage out of the rows of `attempts_of` one run."""
    return [rows.stage(row) for row in {row.address_key: row for row in found}.values()]


def attempt_row(run_id: str, position: int, stage: StageRun) -> dict[str, Any]:
    """The row of a new attempt; `position` is the stage's place in the plan."""
    return {
        "run_id": run_id,
        "address_key": schema.key(stage.address),
        "attempt": stage.attempt,
        "position": position,
        "address": stage.address,
        **rows.stage_values(stage),
    }


def _values(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "repository_id": run.repository_id,
        "commit_sha": run.commit,
        "ref": run.ref,
        "ref_key": schema.key(run.ref),
        "project": run.project,
        "status": run.status,
        "subject": run.subject,
        "created_by": run.created_by,
        "created": run.created,
        "started": run.started,
        "finished": run.finished,
        "attempt": run.attempt,
        "parameters": codec.to_json(dict(run.parameters)),
        "priority": run.priority,
        "explanation": rows.optional_json(run.explanation),
        "experiment": run.experiment,
        "engine": run.engine,
    }
