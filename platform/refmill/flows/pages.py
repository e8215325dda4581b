"""Long lists out of the records, which give only so much at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from refmill.model.runs import Run, RunStatus
from refmill.ports.records import Runs

PAGE = 1000
"""How many runs are asked for at a time."""


def every_run(runs: Runs, repository_ids: Iterable[str], statuses: Iterable[RunStatus] = ()) -> Iterator[Run]:
    """All runs of these repositories, newest first. Several may be made in one microsecond, so each page begins with
    the moment that the one before ended with."""
    wanted, chosen = tuple(repository_ids), tuple(statuses)
    seen = set[str]()
    before: int | None = None
    while new := [run for run in runs.list(wanted, statuses=chosen, limit=PAGE, before=before) if run.id not in seen]:
        yield from new
        seen.update(run.id for run in new)
        before = new[-1].created + 1
