"""From rows to the model, and from the model to rows."""

from __future__ import annotations

import json
import zlib
from typing import Any

import sqlalchemy

from refmill import errors
from refmill.clients import codec
from refmill.clients.database import schema
from refmill.formats import runcache
from refmill.model.people import Repository, Token, User
from refmill.model.pipelines import LockEntry
from refmill.model.plans import Plan
from refmill.model.pushes import Event, RefUpdate
from refmill.model.runs import Run, StageRun, Usage
from refmill.texts import Text, text

USER = (
    schema.users.c.id,
    schema.users.c.name,
    schema.users.c.admin,
    schema.users.c.trusted,
    schema.users.c.language,
)


def user(row: Any) -> User:
    """From the columns USER."""
    return User(id=row.id, name=row.name, admin=row.admin, trusted=row.trusted, language=row.language)


def token(row: Any) -> Token:
    """From a row of `tokens`."""
    return Token(
        id=row.id,
        user_id=row.user_id,
        label=row.label,
        scopes=frozenset(row.scopes.split(",")),
        created=row.created,
        expires=row.expires,
        last_used=row.last_used,
    )


def repositories() -> sqlalchemy.Select[Any]:
    """Rows for `repository`: the table with its owners' names."""
    joined = schema.repositories.join(schema.users, schema.users.c.id == schema.repositories.c.owner_id)
    return sqlalchemy.select(schema.repositories, schema.users.c.name.label("owner")).select_from(joined)


def repository(row: Any) -> Repository:
    """From a row of `repositories()`."""
    return Repository(
        id=row.id,
        owner=row.owner,
        name=row.name,
        public=row.public,
        archived=row.archived,
        default_branch=row.default_branch,
        protected=row.protected,
        network=row.network is not False,
        description=row.description,
    )


def event(row: Any) -> Event:
    """From a row of `events`."""
    return Event(
        id=row.id,
        repository_id=row.repository_id,
        update=RefUpdate(ref=row.ref, old=row.old, new=row.new),
        pusher=row.pusher,
        state=row.state,
        created=row.created,
        options=tuple(json.loads(row.options)),
        run_id=row.run_id,
        answer=tuple(json.loads(row.answer)),
    )


def runs() -> sqlalchemy.Select[Any]:
    """Rows for `run`: the table with the names of repositories and owners."""
    joined = schema.runs.join(schema.repositories, schema.repositories.c.id == schema.runs.c.repository_id).join(
        schema.users, schema.users.c.id == schema.repositories.c.owner_id
    )
    return sqlalchemy.select(
        schema.runs, schema.users.c.name.label("owner"), schema.repositories.c.name.label("repository_name")
    ).select_from(joined)


def run(row: Any) -> Run:
    """From a row of `runs()`."""
    return Run(
        id=row.id,
        repository_id=row.repository_id,
        repository=f"{row.owner}/{row.repository_name}",
        number=row.number,
        commit=row.commit_sha,
        ref=row.ref,
        project=row.project,
        status=row.status,
        subject=row.subject,
        created_by=row.created_by,
        created=row.created,
        started=row.started,
        finished=row.finished,
        attempt=row.attempt,
        parameters=codec.from_json(dict[str, Any], row.parameters),
        priority=row.priority,
        explanation=explanation(row.explanation),
        experiment=row.experiment,
        engine=row.engine,
    )


def stage(row: Any) -> StageRun:
    """From a row of `stage_attempts`."""
    return StageRun(
        address=row.address,
        status=row.status,
        attempt=row.attempt,
        started=row.started,
        finished=row.finished,
        seconds=row.seconds,
        exit_code=row.exit_code,
        explanation=explanation(row.explanation),
        entry=None if row.entry is None else codec.from_json(dict[str, Any], row.entry),
        environment=row.environment or "",
        usage=Usage(row.cpu_seconds, row.peak_memory, row.output_bytes, row.written_bytes or 0, row.gpu_memory or 0),
    )


def stage_values(value: StageRun) -> dict[str, Any]:
    """The columns of `stage_attempts` that change as a stage goes along."""
    return {
        "status": value.status,
        "started": value.started,
        "finished": value.finished,
        "seconds": value.seconds,
        "exit_code": value.exit_code,
        "explanation": optional_json(value.explanation),
        "entry": None if value.entry is None else codec.to_json(value.entry, [value.entry]),
        "cpu_seconds": value.usage.cpu_seconds,
        "peak_memory": value.usage.peak_memory,
        "output_bytes": value.usage.output_bytes,
        "written_bytes": value.usage.written_bytes,
        "gpu_memory": value.usage.gpu_memory,
        "environment": value.environment or None,
        "inputs_key": inputs_key(value.entry) if value.entry is not None and value.environment else None,
    }


def inputs_key(entry: LockEntry) -> str | None:
    """What the inputs of a lock entry are called in DVC's run-cache; None where a parameter is no JSON (a date)."""
    try:
        return runcache.key(entry)
    except TypeError:
        return None


def plan_body(value: Plan) -> bytes:
    """A plan's column. It names every stage several times; level 1 makes it ten times smaller in no time."""
    known = [stage.entry for stage in value.stages]
    return zlib.compress(codec.to_json(value, known).encode(), 1)


def plan_json(body: bytes) -> str:
    """A plan's column, unpacked. Raises Damaged."""
    try:
        return zlib.decompress(body).decode()
    except (zlib.error, UnicodeDecodeError) as error:
        raise errors.Damaged(text("A stored plan cannot be unpacked.")) from error


def optional_json(value: object | None) -> str | None:
    """JSON, or NULL for None."""
    return None if value is None else codec.to_json(value)


def explanation(body: str | None) -> Text | None:
    """A sentence from its column."""
    return None if body is None else codec.from_json(Text, body)
