"""The index of runs: their course. Every change is a conditional UPDATE, so that of two writers one finds out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import bindparam, case, exc, func, select

from refmill import errors
from refmill.clients.database import rows, schema
from refmill.clients.database.connection import Database
from refmill.clients.database.runs import attempt_row
from refmill.clients.database.schema import runs, stage_attempts, wishes
from refmill.model.runs import RUN_ENDED, Run, RunStatus, StageRun, StageStatus
from refmill.ports.records import Expected
from refmill.texts import Text, text


class RunCourse:
    """Implements ports.records.RunStates."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._begun: dict[str, float] = {}  # when runs that are under way began here, by the steady clock

    def move(
        self, run_id: str, status: RunStatus, *, expected: Iterable[RunStatus], explanation: Text | None = None,
        finished: int | None = None,
    ) -> bool:  # fmt: skip
        values: dict[str, Any] = {
            "status": status, "explanation": rows.optional_json(explanation), "finished": finished,
        }  # fmt: skip
        unbegun = (runs.c.id == run_id) & runs.c.started.is_(None)
        this = (runs.c.id == run_id) & runs.c.status.in_(tuple(expected))
        with self._database.writing() as connection:
            if status == "running":
                values["started"] = _first(self._database.clock())
                if connection.execute(select(runs.c.id).where(unbegun)).first() is not None:
                    self._begun[run_id] = self._database.steady()
            if status in RUN_ENDED and finished is None:
                started = connection.execute(select(runs.c.started).where(runs.c.id == run_id)).scalar()
                values["finished"] = self._end(run_id, started)
            moved = connection.execute(runs.update().where(this).values(**values)).rowcount > 0
        if moved and status in RUN_ENDED:
            self._begun.pop(run_id, None)
        return moved

    def end_of(self, run: Run) -> int:
        return self._end(run.id, run.started)

    def _end(self, run_id: str, started: int | None) -> int:
        now = self._database.clock()
        if started is None:
            return now
        if (begun := self._begun.get(run_id)) is None:
            return max(now, started)
        return started + int((self._database.steady() - begun) * 1_000_000)

    def set_stage(self, run_id: str, stage: StageRun, *, expected: Iterable[StageStatus] = ()) -> bool:
        allowed = tuple(expected)
        with self._database.writing() as connection:
            newest = _newest(connection, run_id, stage.address)
            if allowed and (newest is None or newest.status not in allowed):
                return False
            this = _of_stage(run_id, stage.address) & (stage_attempts.c.attempt == stage.attempt)
            values = rows.stage_values(stage)
            if connection.execute(stage_attempts.update().where(this).values(**values)).rowcount == 0:
                position = _next_position(connection, run_id) if newest is None else newest.position
                _insert(connection, attempt_row(run_id, position, stage))
        return True

    def set_stages(
        self, run_id: str, stages: Sequence[StageRun], *, expected: Mapping[str, Expected] | None = None
    ) -> bool:
        last = {(schema.key(stage.address), stage.attempt): stage for stage in stages}
        with self._database.writing() as connection:
            keys = {schema.key(address): asked for address, asked in (expected or {}).items()}
            known = _known(connection, run_id, {key for key, _ in last} | keys.keys())
            if not _stand(known, keys):
                return False
            if any(stage.started is not None for stage in stages):
                begun = {"of_run": run_id, "now": self._database.clock()}
                if connection.execute(_BEGIN, begun).rowcount:
                    self._begun.setdefault(run_id, self._database.steady())
            there = {(row.address_key, row.attempt) for row in known}
            old = [_old(run_id, *at, stage) for at, stage in last.items() if at in there]
            if old:
                connection.execute(_STORE, old)
            positions = {row.address_key: row.position for row in known}
            for at, stage in last.items():
                if at not in there:
                    if at[0] not in positions:
                        positions[at[0]] = _next_position(connection, run_id)
                    _insert(connection, attempt_row(run_id, positions[at[0]], stage))
        return True

    def set_experiment(self, run_id: str, name: str) -> None:
        with self._database.writing() as connection:
            connection.execute(runs.update().where(runs.c.id == run_id).values(experiment=name))

    def ask(self, run_id: str, wish: str, words: Sequence[str] = ()) -> None:
        this = (wishes.c.run_id == run_id) & (wishes.c.wish == wish)
        with self._database.writing() as connection:
            if connection.execute(select(wishes.c.id).where(this)).first() is None:
                values: dict[str, Any] = {"run_id": run_id, "wish": wish, "created": self._database.clock()}
                values["details"] = json.dumps(list(words)) if words else None
                _insert(connection, values, wishes)

    def wishes(self) -> Sequence[tuple[str, str]]:
        with self._database.reading() as connection:
            return [(row.run_id, row.wish) for row in connection.execute(_WISHES)]

    def words(self, run_id: str, wish: str) -> tuple[str, ...]:
        this = (wishes.c.run_id == run_id) & (wishes.c.wish == wish)
        with self._database.reading() as connection:
            found = connection.execute(select(wishes.c.details).where(this)).scalar()
        return tuple(json.loads(found)) if found else ()

    def grant(self, run_id: str, wish: str) -> None:
        this = (wishes.c.run_id == run_id) & (wishes.c.wish == wish)
        with self._database.writing() as connection:
            connection.execute(wishes.delete().where(this))


_STORE = (
    stage_attempts.update()
    .where(stage_attempts.c.run_id == bindparam("of_run"))
    .where(stage_attempts.c.address_key == bindparam("of_key"))
    .where(stage_attempts.c.attempt == bindparam("of_attempt"))
    .values({name: bindparam(name) for name in rows.stage_values(StageRun("", "pending"))})
)
"""One statement for many rows: preparing it costs more than carrying it out."""
_KEYS = 500
"""How many keys stand in one statement: less than the parameters that every database takes."""


def _first(now: int | sqlalchemy.BindParameter[int | None]) -> sqlalchemy.ColumnElement[int | None]:
    """When a run was started: now, if it was not before."""
    return case((runs.c.started.is_(None), now), else_=runs.c.started)


_BEGIN = (
    runs.update()
    .where(runs.c.id == bindparam("of_run"), runs.c.status == "queued")
    .values(status="running", started=_first(bindparam("now", type_=runs.c.started.type)), explanation=None)
)
_KNOWN = (
    select(stage_attempts.c.address_key, stage_attempts.c.attempt, stage_attempts.c.position, stage_attempts.c.status)
    .where(
        stage_attempts.c.run_id == bindparam("of_run"),
        stage_attempts.c.address_key.in_(bindparam("of_keys", expanding=True)),
    )
    .with_for_update()
)
_WISHES = select(wishes.c.run_id, wishes.c.wish).order_by(wishes.c.id)


def _known(connection: sqlalchemy.Connection, run_id: str, keys: set[str]) -> list[Any]:
    """Key, number, position and status of every attempt of some stages."""
    asked = sorted(keys)
    found: list[Any] = []
    for start in range(0, len(asked), _KEYS):
        found += connection.execute(_KNOWN, {"of_run": run_id, "of_keys": asked[start : start + _KEYS]})
    return found


def _of_stage(run_id: str, address: str) -> sqlalchemy.ColumnElement[bool]:
    """All attempts of a stage."""
    return (stage_attempts.c.run_id == run_id) & (stage_attempts.c.address_key == schema.key(address))


def _newest(connection: sqlalchemy.Connection, run_id: str, address: str) -> sqlalchemy.Row[Any, Any, Any] | None:
    """Number, status and position of a stage's latest attempt."""
    return connection.execute(
        select(stage_attempts.c.attempt, stage_attempts.c.status, stage_attempts.c.position)
        .where(_of_stage(run_id, address))
        .order_by(stage_attempts.c.attempt.desc())
        .with_for_update()
    ).first()


def _stand(known: Iterable[Any], expected: Mapping[str, Expected]) -> bool:
    """Whether the latest attempts of these stages, which are told by their keys, are as expected."""
    newest = {row.address_key: row for row in sorted(known, key=lambda row: int(row.attempt))}
    return all(
        key in newest and newest[key].attempt == attempt and newest[key].status in statuses
        for key, (attempt, statuses) in expected.items()
    )


def _old(run_id: str, key: str, attempt: int, stage: StageRun) -> dict[str, Any]:
    """What _STORE asks for."""
    return {"of_run": run_id, "of_key": key, "of_attempt": attempt, **rows.stage_values(stage)}


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
