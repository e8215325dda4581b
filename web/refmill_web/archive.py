"""What of an ended run outlives the database: `run.json` and the logs, beside the repository's objects."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from refmill import errors
from refmill.clients import codec
from refmill.clients.database import Records
from refmill.clients.run_files import RunFiles
from refmill.model.people import Repository
from refmill.model.plans import Plan
from refmill.model.runs import RUN_ENDED, Run, RunStatus, StageRun
from refmill.settings import Settings
from refmill.texts import Text, text
from refmill_web import places

WELL = ("cached", "succeeded")


@dataclass(frozen=True, slots=True)
class Archive:
    """The content of `run.json`. `stages` are the latest attempts; `attempts` are all of them, and none in the files of
    the first version, which were written before the run was called ended."""

    run: Run
    plan: Plan
    stages: tuple[StageRun, ...]
    attempts: tuple[StageRun, ...] = ()


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of one archive: whether the run was put back (False: it is in the database), or why it could not be."""

    number: int
    done: bool
    fault: Text | None = None


def keep(settings: Settings, records: Records, run: Run) -> None:
    """Write the archive of a run that has ended or is about to be called so; again is no error. Raises Unavailable if
    the disk is full, or the store that keeps it does not answer."""
    files = places.archives(settings, run.repository_id)
    attempts = tuple(records.history.attempts(run.id))
    latest = tuple({stage.address: stage for stage in attempts}.values())
    told = codec.to_json(attempts)
    # An `Archive` in JSON. The plan stands as it is stored: reading and writing it takes most of the time of a push
    # that has nothing to run.
    parts = {
        "run": codec.to_json(run), "plan": records.runs.plan_json(run.id), "attempts": told,
        "stages": told if latest == attempts else codec.to_json(latest),
    }  # fmt: skip
    _write(files, run.number, "{" + ",".join(f'"{name}":{body}' for name, body in parts.items()) + "}")
    files.send(run.number)


def restore(settings: Settings, records: Records, repository: Repository) -> Iterator[Restored]:
    """Put back the runs of a repository that are archived and that the database lacks; none that is there changes."""
    files = places.archives(settings, repository.id)
    for number in files.numbers():
        try:
            if _known(records, repository, number):
                yield Restored(number, done=False)
                continue
            found = _read(files.near(number, "run.json"))
            if (found.run.repository_id, found.run.number) != (repository.id, number):
                yield Restored(number, done=False, fault=text("its run.json is that of another run"))
                continue
            yield Restored(number, done=records.runs.restore(found.run, found.plan, found.attempts or found.stages))
        except errors.RefmillError as error:
            yield Restored(number, done=False, fault=error.message)


def _known(records: Records, repository: Repository, number: int) -> bool:
    try:
        records.runs.by_number(repository.id, number)
    except errors.NotFound:
        return False
    return True


def _read(path: Path) -> Archive:
    """An archive, its run ended. Raises NotFound, Damaged."""
    try:
        found = codec.from_json(Archive, path.read_bytes())
    except FileNotFoundError as error:
        raise errors.NotFound(text("it has no run.json")) from error
    if found.run.status in RUN_ENDED:
        return found
    ends = [stage.finished for stage in found.stages if stage.finished]
    moment = max(ends) if ends else path.stat().st_mtime_ns // 1000
    return replace(found, run=replace(found.run, status=_outcome(found), finished=moment))


def _outcome(found: Archive) -> RunStatus:
    """How a run ended that was archived before that was noted."""
    statuses = {stage.status for stage in found.stages}
    if statuses.issubset(WELL):
        return "succeeded"
    return "failed" if "failed" in statuses else "stopped"


def _write(files: RunFiles, number: int, content: str) -> None:
    try:
        with files.new(number, "run.json") as new, new.open("w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if (fault := errors.of_disk(error)) is not None:
            raise fault from error
        raise
