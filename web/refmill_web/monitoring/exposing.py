"""Gathers all figures when somebody asks for them, and writes them down as Prometheus reads them."""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, Metric, exposition
from prometheus_client.openmetrics import exposition as openmetrics

from refmill import __version__
from refmill.model.asides import Aside
from refmill.ports.records import Overview, Standing
from refmill_web.monitoring import families, known, processes, sharing
from refmill_web.monitoring.asking import Asked
from refmill_web.monitoring.counters import Counters
from refmill_web.monitoring.families import family

OPENMETRICS = "application/openmetrics-text"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where figures come from, beside what this process counts: `engine` is the socket where the engine tells,
    `resolver` raises RefmillError where that does not answer; `upkeep` is when the last one was, in UTC microseconds;
    `parent` is the number of the platform's first process, 0 where nobody knows."""

    data: Path
    reserve: int
    overview: Overview
    engine: Path
    resolver: Callable[[], object]
    asides: Callable[[], Sequence[Aside]]
    upkeep: Callable[[], int | None]
    parent: Callable[[], int]


class _Families:
    """What writers ask for."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        """All of them."""
        return self._found


class Exposition:
    """All figures of the platform. For any thread."""

    def __init__(self, counters: Counters, sources: Sources) -> None:
        self._counters, self._sources = counters, sources
        self._standing = Asked(sources.overview.standing)
        self._engine = Asked(lambda: sharing.ask(sources.engine))
        self._resolver = Asked(lambda: (sources.resolver(), True)[1])

    def text(self, accepted: Collection[str]) -> tuple[bytes, str]:
        """The figures and their media type: OpenMetrics where that is `accepted`, else Prometheus' older format."""
        found = _Families(self.gather())
        if OPENMETRICS in accepted:
            body: bytes = openmetrics.generate_latest(found)  # type: ignore[no-untyped-call]
            return body, openmetrics.CONTENT_TYPE_LATEST
        return exposition.generate_latest(found), CONTENT_TYPE_PLAIN_0_0_4

    def gather(self) -> list[Metric]:
        """As they stand now, or some seconds ago."""
        began = time.monotonic()
        standing, engine, resolver = self._standing.get(), self._engine.get(), self._resolver.get()
        answers = {"database": standing is not None, "engine": engine is not None, "resolver": resolver is not None}
        seen = [
            family(known.BUILD, {(__version__,): 1}),
            family(known.PART_UP, {(part,): int(well) for part, well in answers.items()}),
            *(_standing(standing) if standing else ()), *self._around(), *_processes(self._sources.parent()),
            *families.taken(self._counters.registry), *(engine or ()),
        ]  # fmt: skip
        found = families.joined(seen)
        return [*found, family(known.LOOK_SECONDS, time.monotonic() - began)]

    def _around(self) -> Iterator[Metric]:
        sources = self._sources
        yield family(known.ASIDE, len({item.repository_id for item in sources.asides()}))
        try:
            disk = os.statvfs(sources.data)
        except OSError:
            pass
        else:
            yield family(known.DISK_SIZE, disk.f_blocks * disk.f_frsize)
            yield family(known.DISK_FREE, disk.f_bavail * disk.f_frsize)
            yield family(known.DISK_FILES, disk.f_favail)
        yield family(known.DISK_RESERVE, sources.reserve)
        if (last := sources.upkeep()) is not None:
            yield family(known.UPKEEP, last / 1e6)


def _standing(standing: Standing) -> Iterator[Metric]:
    now = time.time_ns() // 1000

    def age(moment: int | None) -> float:
        return 0.0 if moment is None else max(0, now - moment) / 1e6

    (_, statuses), (_, engines) = known.RUNS.labels
    many: Counter[tuple[str, ...]] = Counter(dict.fromkeys(itertools.product(statuses, engines), 0))
    for (status, engine), count in standing.runs.items():
        many[status, engine if engine in engines else engines[0]] += count
    yield family(known.RUNS, many)
    yield family(known.RUNS_LACKING, standing.lacking)
    yield family(known.QUEUE_AGE, age(standing.queued))
    yield _each(known.STAGES, standing.stages)
    yield _each(known.EVENTS, standing.events)
    yield family(known.EVENTS_AGE, age(standing.landed))
    yield family(known.REPOSITORIES, standing.repositories)
    yield family(known.USERS, standing.users)


def _each(figure: known.Figure, many: Mapping[Any, int]) -> Metric:
    """A figure with one label, at zero where nothing was counted."""
    ((_, values),) = figure.labels
    return family(figure, {(value,): many.get(value, 0) for value in values})


def _processes(parent: int) -> Iterator[Metric]:
    found = processes.processes(parent)
    yield family(known.CPU, {(one.part,): one.cpu for one in found})
    yield family(known.MEMORY, {(one.part,): one.memory for one in found})
    yield family(known.FILES, {(one.part,): one.files for one in found})
    yield family(known.MOST_FILES, {(one.part,): one.most_files for one in found})
    yield family(known.THREADS, {(one.part,): one.threads for one in found})
    yield family(known.STARTED, {(one.part,): one.started for one in found})
