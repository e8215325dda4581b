"""What keeps repositories quick over the years: old experiments of ours go, refs and objects are packed.

The rule to keep: only what Refmill made by itself goes, and only refs: what a run made lies in the object store, and is
not touched here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from refmill import errors
from refmill.flows.planning import EVERYWHERE
from refmill.flows.receive import RUN_EXPERIMENT
from refmill.model.people import Repository
from refmill.model.runs import RUN_ENDED, Run
from refmill.ports.records import Catalogue, Runs
from refmill.ports.repositories import Refs, Repositories

LOG = logging.getLogger(__name__)
AT_ONCE = 500
"""Refs taken away in one transaction of git: it holds a lock that pushes wait for."""
LOOK = 1000
"""Runs that are read at once; older ones, which have an experiment for a while at most, one by one."""
DAY = 24 * 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class Keeping:
    """How many of a repository's `run-N` experiments are kept, and for how many days; 0 is all of them, for ever."""

    days: float
    count: int


class Upkeep:
    """Goes through all repositories. `now` is the clock in UTC microseconds."""

    def __init__(
        self, *, catalogue: Catalogue, runs: Runs, repositories: Repositories, refs: Refs, keeping: Keeping,
        now: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:  # fmt: skip
        self._catalogue, self._runs, self._repositories, self._refs = catalogue, runs, repositories, refs
        self._keeping, self._now = keeping, now

    def round(self, stopping: Callable[[], bool]) -> None:
        """Look after every repository, until `stopping`; one that cannot be looked after stops no other."""
        for repository in self._catalogue.visible(EVERYWHERE):
            if stopping():
                return
            try:
                self.tend(repository, stopping)
            except errors.RefmillError as error:
                LOG.warning("%s could not be looked after: %s", repository.full_name, error)

    def tend(self, repository: Repository, stopping: Callable[[], bool] = lambda: False) -> None:
        """Look after one repository. Raises RefmillError."""
        if gone := self._expire(repository):
            LOG.info("%s: %d old experiments removed", repository.full_name, gone)
        if self._repositories.worn(repository.id):
            self._repositories.maintain(repository.id, stopping)
        else:
            self._repositories.pack_refs(repository.id)

    def _expire(self, repository: Repository) -> int:
        """Take away the experiments that are too old or too many; how many."""
        listed = self._refs.list(repository.id, "refs/exps/")
        old = dict(self._old(repository, {ref: sha for ref, sha in listed.items() if RUN_EXPERIMENT.fullmatch(ref)}))
        names = list(old)
        for start in range(0, len(names), AT_ONCE):
            self._refs.remove(repository.id, {ref: old[ref] for ref in names[start : start + AT_ONCE]})
        return len(names)

    def _old(self, repository: Repository, ours: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """The refs, with their commits, that are not kept."""
        kept = 0
        runs = {run.number: run for run in self._runs.list([repository.id], limit=LOOK)} if ours else {}
        for number, ref in sorted(((int(ref.rpartition("-")[2]), ref) for ref in ours), reverse=True):
            run = runs.get(number) or self._run(repository, number)
            if run is None or run.status not in RUN_ENDED or ref != _ref(run):
                continue  # nobody here made it, or it is still being made
            many = bool(self._keeping.count) and kept >= self._keeping.count
            age = self._now() - (run.finished or run.created)
            if many or (self._keeping.days and age > self._keeping.days * DAY):
                yield ref, ours[ref]
            else:
                kept += 1

    def _run(self, repository: Repository, number: int) -> Run | None:
        try:
            return self._runs.by_number(repository.id, number)
        except errors.NotFound:
            return None


def _ref(run: Run) -> str:
    return f"refs/exps/{run.commit[:2]}/{run.commit[2:]}/{run.experiment}"
