"""The index of runs: their course. Every change is a conditional UPDATE, so that of two writers one finds out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import case, exc, func, select

from refmill import errors
from refmill.clients.database import rows, schema
from refmill.clients.database.connection import Database
from refmill.clients.database.runs import attempt_row
from refmill.clients.database.schema import runs, stage_attempts, wishes
from refmill.model.runs import RUN_ENDED, RunStatus, StageRun, StageStatus
from refmill.texts import Text, text


class RunCourse:
    """Implements ports.records.RunStates."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def move(
        self, run_id: str, status: RunStatus, *, expected: Iterable[RunStatus], explanation: Text | None = None
    ) -> bool:
        now = self._database.clock()
        values: dict[str, Any] = {
            "status": status,
            "explanation": rows.optional_json(explanation),
            "finished": now if status in RUN_ENDED else None,
        }
        if status == "running":
            values["started"] = case((runs.c.started.is_(None), now), else_=runs.c.started)
        this = (runs.c.id == run_id) & runs.c.status.in_(tuple(expected))
        with self._database.writing() as connection:
            return connection.execute(runs.update().where(this).values(**values)).rowcount > 0

    def set_stage(self, run_id: str, stage: StageRun, *, expected: Iterable[StageStatus] = ()) -> bool:
        allowed = tuple(expected)
        key = schema.key(stage.address)
        mine = (stage_attempts.c.run_id == run_id) & (stage_attempts.c.address_key == key)
        with self._database.writing() as connection:
            newest = connection.execute(
                select(stage_attempts.c.attempt, stage_attempts.c.status, stage_attempts.c.position)
                .where(mine)
                .order_by(stage_attempts.c.attempt.desc())
                .with_for_update()
            ).first()
            if allowed and (newest is None or newest.status not in allowed):
                return False
            this = mine & (stage_attempts.c.attempt == stage.attempt)
            values = rows.stage_values(stage)
            if connection.execute(stage_attempts.update().where(this).values(**values)).rowcount == 0:
                position = _next_position(connection, run_id) if newest is None else newest.position
                _insert(connection, attempt_row(run_id, position, stage))
        return True

    def set_experiment(self, run_id: str, name: str) -> None:
        with self._database.writing() as connection:
            connection.execute(runs.update().where(runs.c.id == run_id).values(experiment=name))

    def ask(self, run_id: str, wish: str) -> None:
        this = (wishes.c.run_id == run_id) & (wishes.c.wish == wish)
        with self._database.writing() as connection:
            if connection.execute(select(wishes.c.id).where(this)).first() is None:
                _insert(connection, {"run_id": run_id, "wish": wish, "created": self._database.clock()}, wishes)

    def wishes(self) -> Sequence[tuple[str, str]]:
        with self._database.reading() as connection:
            found = connection.execute(select(wishes.c.run_id, wishes.c.wish).order_by(wishes.c.id))
            return [(row.run_id, row.wish) for row in found]

    def grant(self, run_id: str, wish: str) -> None:
        this = (wishes.c.run_id == run_id) & (wishes.c.wish == wish)
        with self._database.writing() as connection:
            connection.execute(wishes.delete().where(this))


def _next_position(connection: sqlalchemy.Connection, run_id: str) -> int:
    highest = select(func.max(stage_attempts.c.position)).where(stage_attempts.c.run_id == run_id)
    found: int | None = connection.execute(highest).scalar()
    return 0 if found is None else found + 1


def _insert(
    connection: sqlalchemy.Connection, values: dict[str, Any], table: sqlalchemy.Table = stage_attempts
) -> None:
    try:
        connection.execute(table.insert().values(**values))
    except exc.IntegrityError as error:
        raise errors.NotFound(text("There is no such run.")) from error
