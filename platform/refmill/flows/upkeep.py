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
from refmill.flows.asides import Asides
from refmill.flows.planning import EVERYWHERE
from refmill.flows.receive import RUN_EXPERIMENT
from refmill.model.people import Repository
from refmill.model.runs import RUN_ENDED, SOURCES, Run
from refmill.ports.records import Catalogue, Runs
from refmill.ports.repositories import Refs, Repositories
from refmill.texts import text

LOG = logging.getLogger(__name__)
AT_ONCE = 500
"""Refs taken away in one transaction of git: it holds a lock that pushes wait for."""
LOOK = 1000
"""Runs that are read at once; older ones, which have an experiment for a while at most, one by one."""
DAY = 24 * 3600 * 1_000_000
STEP = DAY
"""Microseconds that the clock may go on from one round to the next; a platform that was off for longer catches up."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """How many of a repository's `run-N` experiments are kept, and for how many days; 0 is all of them, for ever."""

    days: float
    count: int


@dataclass(frozen=True, slots=True)
class Reckoning:
    """What is kept between two rounds: the time at which the last one was, as far as it was believed."""

    believed: int


class Calendar:
    """The time by which ages are counted. A clock that jumps a year ahead, by a fault or by hand, must not make a
    year's results old: from one round to the next it is believed to have gone on by STEP at most.

    `load` and `keep` hold a Reckoning over restarts (None: there was no round yet).
    """

    def __init__(
        self, load: Callable[[], Reckoning | None], keep: Callable[[Reckoning], None],
        now: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:  # fmt: skip
        self._load, self._keep, self._now = load, keep, now
        self._last: int | None = None

    def today(self) -> tuple[int, bool]:
        """The time that is believed now (UTC microseconds), and whether it is what the clock says."""
        now = self._now()
        kept = self._load()
        before = self._last if kept is None else kept.believed
        believed = now if before is None else min(now, before + STEP)
        if believed < now:
            LOG.warning("the clock is %.1f days ahead of what it was: it is followed slowly", (now - believed) / DAY)
        self._last = believed
        self._keep(Reckoning(believed))
        return believed, believed == now


class Upkeep:
    """Goes through all repositories. What fails is noted in `asides`."""

    def __init__(
        self, *, catalogue: Catalogue, runs: Runs, repositories: Repositories, refs: Refs, keeping: Keeping,
        calendar: Calendar, asides: Asides,
    ) -> None:  # fmt: skip
        self._catalogue, self._runs, self._repositories, self._refs = catalogue, runs, repositories, refs
        self._keeping, self._calendar, self._asides = keeping, calendar, asides
        self._today, self._sure = 0, False

    def round(self, stopping: Callable[[], bool]) -> None:
        """Look after every repository, until `stopping`; one that cannot be looked after stops no other."""
        self._today, self._sure = self._calendar.today()
        for repository in self._catalogue.visible(EVERYWHERE):
            key = f"upkeep:{repository.id}"
            if stopping():
                return
            if self._asides.rests(key):
                continue
            try:
                self.tend(repository, stopping)
            except errors.Unavailable as error:
                LOG.warning("%s could not be looked after now: %s", repository.full_name, error)
            except Exception as error:  # noqa: BLE001 - one repository must stop no other, whatever is wrong with it
                LOG.warning("%s could not be looked after: %s", repository.full_name, error)
                detail = str(error)[:300] or type(error).__name__
                self._asides.failed(key, repository.id, text("it could not be looked after: %(detail)s", detail=detail))
            else:
                self._asides.well(key)

    def tend(self, repository: Repository, stopping: Callable[[], bool] = lambda: False) -> None:
        """Look after one repository. Raises RefmillError."""
        self._forget_sources(repository)
        if gone := self._expire(repository):
            LOG.info("%s: %d old experiments removed", repository.full_name, gone)
        # git counts the ages of what no ref leads to by the clock, so that must be believed.
        if self._sure and self._repositories.worn(repository.id):
            self._repositories.maintain(repository.id, stopping)
        else:
            self._repositories.pack_refs(repository.id)

    def _forget_sources(self, repository: Repository) -> None:
        """Take away what keeps the commits of ended runs with other parameters: a run's end does that by itself,
        unless it is killed in the middle."""
        listed = self._refs.list(repository.id, SOURCES)
        left = {ref: sha for ref, sha in listed.items() if self._is_over(ref.removeprefix(SOURCES))}
        if left:
            self._refs.remove(repository.id, left)

    def _is_over(self, run_id: str) -> bool:
        try:
            return self._runs.get(run_id).status in RUN_ENDED
        except errors.NotFound:
            return False  # it is about to be made

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
            age = self._today - (run.finished or run.created)
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
