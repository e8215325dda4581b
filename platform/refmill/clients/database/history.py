"""The index of runs: what pages and estimates ask of many runs at once."""

from __future__ import annotations

import itertools
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import func, select

from refmill.clients import codec
from refmill.clients.database import rows, schema
from refmill.clients.database.connection import Database
from refmill.clients.database.runs import ATTEMPTS, attempts_of, latest
from refmill.clients.database.schema import runs, stage_attempts
from refmill.model.pipelines import LockEntry
from refmill.model.runs import Made, Run, RunStatus, StageRun

_LAST_RUNS = 30  # how far back an estimate looks
_LAST_SUCCESSES = 5
_KEYS = 500  # keys in one query: databases limit how many values it may have


class RunArchive:
    """Implements ports.records.RunHistory."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def counts(self, repository_ids: Iterable[str]) -> dict[RunStatus, int]:
        these = runs.c.repository_id.in_(tuple(repository_ids))
        found = select(runs.c.status, func.count()).where(these).group_by(runs.c.status)
        with self._database.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(found)}

    def last(self, repository_ids: Iterable[str]) -> dict[str, Run]:
        newest = (
            select(runs.c.repository_id, func.max(runs.c.number).label("number"))
            .where(runs.c.repository_id.in_(tuple(repository_ids)))
            .group_by(runs.c.repository_id)
            .subquery()
        )
        same = (runs.c.repository_id == newest.c.repository_id) & (runs.c.number == newest.c.number)
        with self._database.reading() as connection:
            found = connection.execute(rows.runs().join(newest, same))
            return {row.repository_id: rows.run(row) for row in found}

    def previous(self, run: Run) -> Run | None:
        found = (
            rows.runs()
            .where(
                runs.c.repository_id == run.repository_id,
                runs.c.ref_key == schema.key(run.ref),
                runs.c.project == run.project,
                runs.c.status == "succeeded",
                runs.c.number < run.number,
            )
            .order_by(runs.c.number.desc())
            .limit(1)
        )
        with self._database.reading() as connection:
            row = connection.execute(found).first()
        return None if row is None else rows.run(row)

    def stages_of(self, run_ids: Iterable[str]) -> dict[str, Sequence[StageRun]]:
        with self._database.reading() as connection:
            found = connection.execute(attempts_of(run_ids)).all()
        return {run_id: latest(group) for run_id, group in itertools.groupby(found, key=lambda row: row.run_id)}

    def attempts(self, run_id: str) -> Sequence[StageRun]:
        with self._database.reading() as connection:
            return [rows.stage(row) for row in connection.execute(ATTEMPTS, {"of_run": run_id})]

    def typical_seconds(self, repository_id: str, addresses: Iterable[str], project: str = "") -> dict[str, float]:
        recent = (
            select(runs.c.id, runs.c.number)
            .where(runs.c.repository_id == repository_id, runs.c.project == project, runs.c.started.is_not(None))
            .order_by(runs.c.number.desc())
            .limit(_LAST_RUNS)
            .subquery()
        )
        found = (
            select(stage_attempts.c.address, stage_attempts.c.seconds)
            .join(recent, recent.c.id == stage_attempts.c.run_id)
            .where(stage_attempts.c.status == "succeeded", stage_attempts.c.seconds.is_not(None))
            .order_by(recent.c.number.desc())
        )
        wanted = frozenset(addresses)
        seconds: dict[str, list[float]] = defaultdict(list)
        with self._database.reading() as connection:
            for row in connection.execute(found):
                if row.address in wanted and len(seconds[row.address]) < _LAST_SUCCESSES:
                    seconds[row.address].append(row.seconds)
        return {address: statistics.median(values) for address, values in seconds.items()}

    def made(self, repository_id: str, entries: Sequence[LockEntry]) -> Sequence[Sequence[Made]]:
        keys = [rows.inputs_key(entry) for entry in entries]
        asked = sorted({key for key in keys if key is not None})
        found: dict[str | None, list[Made]] = defaultdict(list)
        with self._database.reading() as connection:
            for start in range(0, len(asked), _KEYS):
                results = (
                    select(stage_attempts.c.inputs_key, stage_attempts.c.entry, stage_attempts.c.environment)
                    .join(runs, runs.c.id == stage_attempts.c.run_id)
                    .where(
                        stage_attempts.c.inputs_key.in_(asked[start : start + _KEYS]),
                        stage_attempts.c.status == "succeeded",
                        runs.c.repository_id == repository_id,
                    )
                    .order_by(runs.c.number, stage_attempts.c.attempt)
                )
                for row in connection.execute(results):
                    entry = codec.from_json(dict[str, Any], row.entry)
                    found[row.inputs_key].append(Made(entry, row.environment))
        return [found.get(key, []) for key in keys]
