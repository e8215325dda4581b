"""Many repositories on one scheduler, and on several: the real `refmill.engine.scheduler` in time that is only counted.

What is decided is the same at every run (`SEED`); how long deciding took is this machine's. docs/scale.md has the
figures and what follows from them. `bench_scale.py RUNS` takes another number of runs.
"""

from __future__ import annotations

import hashlib
import heapq
import random
import statistics
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from refmill.engine.scheduler import Budget, Need, Scheduler, Task

SEED = 7000
REPOSITORIES, OWNERS = 10_000, 2_000
RUNS = 100_000  # a million takes half an hour, and decides alike
DAYS = 30
MEAN_SECONDS = 240.0  # of a stage; a run is one stage here, because its others wait for it and not in the queue
SHAPE = 1.1  # of the lognormal durations: most take a minute or two, some take hours
GIB = 1 << 30
NEEDS = ((Need(1, 2 * GIB), 0.7), (Need(4, 16 * GIB), 0.25), (Need(16, 64 * GIB), 0.05))
LOAD = 0.5  # what is asked of the cores, on average over the month; by day that is 0.9
SHARDS = (1, 4, 16)
WAITING = (10, 100, 1_000, 10_000)  # owners that wait at once
GRANTS = 200  # decisions that are timed with so many waiting


@dataclass(frozen=True, slots=True)
class Run:
    """What is pushed: when, how long its stage takes, where it goes."""

    at: float
    seconds: float
    repository: int
    need: Need


@dataclass(slots=True)
class Shard:
    """One scheduler with its part of the cores, and what it saw."""

    scheduler: Scheduler
    ends: list[tuple[float, str]] = field(default_factory=list)
    pushed: dict[str, Run] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    decisions: int = 0
    deciding: float = 0.0
    longest: int = 0

    def go(self, now: float) -> None:
        """Start what may start."""
        began = time.perf_counter()
        granted = self.scheduler.grant()
        self.deciding += time.perf_counter() - began
        self.decisions += 1
        self.longest = max(self.longest, len(self.pushed))
        for grant in granted:
            run = self.pushed.pop(grant.task.key)
            self.waits.append(now - run.at)
            heapq.heappush(self.ends, (now + run.seconds, grant.task.key))

    def until(self, now: float) -> None:
        """Let end what ends before `now`."""
        while self.ends and self.ends[0][0] <= now:
            ended, key = heapq.heappop(self.ends)
            self.scheduler.release(key)
            self.go(ended)


def pushes(count: int) -> Iterator[Run]:
    """A month of pushes in the order of their times: few repositories have most of them, and days have nights."""
    chance = random.Random(SEED)
    popular = list(_running(1 / (rank + 10) for rank in range(REPOSITORIES)))
    needs = list(_running(part for _, part in NEEDS))
    times = []
    while len(times) < count:
        at = chance.uniform(0, DAYS * 86400)
        by_day = 8 <= at / 3600 % 24 < 18
        if by_day or chance.random() < 0.25:
            times.append(at)
    shift = SHAPE**2 / 2  # so that the mean is MEAN_SECONDS
    for at in sorted(times):
        repository = chance.choices(range(REPOSITORIES), cum_weights=popular)[0]
        need = chance.choices([need for need, _ in NEEDS], cum_weights=needs)[0]
        yield Run(at, MEAN_SECONDS * chance.lognormvariate(-shift, SHAPE), repository, need)


def _running(parts: Iterable[float]) -> Iterator[float]:
    total = 0.0
    for part in parts:
        total += part
        yield total


def shard_of(repository: int, shards: int) -> int:
    """By the repository's id, which never changes."""
    return int.from_bytes(hashlib.sha256(str(repository).encode()).digest()[:4]) % shards


def month(runs: list[Run], count: int) -> list[Shard]:
    """The runs on `count` shards that share as many cores as are asked for at LOAD."""
    asked = sum(run.seconds * run.need.cpu for run in runs) / (DAYS * 86400)
    cores = max(16.0, round(asked / LOAD / count))
    shards = [Shard(Scheduler(Budget(cores, int(cores) * 4 * GIB))) for _ in range(count)]
    for number, run in enumerate(runs):
        shard = shards[shard_of(run.repository, count)]
        shard.until(run.at)
        key = str(number)
        shard.pushed[key] = run
        shard.scheduler.add(Task(key, f"owner-{run.repository % OWNERS}", run.need, rank=(int(run.at * 1e6), 0)))
        shard.go(run.at)
    for shard in shards:
        shard.until(float("inf"))
    return shards


def decision(owners: int) -> float:
    """Milliseconds of a decision where tasks of so many owners wait and one place is free."""
    scheduler = Scheduler(Budget(1, GIB))
    for owner in range(owners):
        for number in range(max(1, 2 * GRANTS // owners)):
            scheduler.add(Task(f"{owner}-{number}", f"owner-{owner}", Need(1), rank=(number, owner)))
    running = scheduler.grant()[0].task.key
    took = []
    for _ in range(GRANTS):
        scheduler.release(running)
        began = time.perf_counter()
        running = scheduler.grant()[0].task.key
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


def main() -> None:
    """Decide and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    print("| owners that wait | ms a decision |\n| --- | --- |")
    for owners in WAITING:
        print(f"| {owners:,} | {decision(owners):.2f} |")
    runs = list(pushes(count))
    print(f"\n{count:,} runs of {REPOSITORIES:,} repositories of {OWNERS:,} owners in {DAYS} days, load {LOAD}:\n")
    print(
        "| shards | cores | longest queue of one | wait, median s | 95 % | 99 % | decisions | ms each | busiest one |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for number in SHARDS:
        print(line(month(runs, number)), flush=True)


def line(shards: list[Shard]) -> str:
    """One month as a row."""
    waits = sorted(wait for shard in shards for wait in shard.waits)
    decisions = sum(shard.decisions for shard in shards)
    busiest = max(len(shard.waits) for shard in shards) / len(waits)
    middle, most, nearly = (waits[min(len(waits) - 1, int(len(waits) * part))] for part in (0.5, 0.95, 0.99))
    deciding = sum(shard.deciding for shard in shards) / decisions * 1000
    cores = sum(shard.scheduler._budget.cpus for shard in shards)  # noqa: SLF001 - a bench may look inside
    return (
        f"| {len(shards)} | {cores:,.0f} | {max(shard.longest for shard in shards):,} | {middle:,.0f} |"
        f" {most:,.0f} | {nearly:,.0f} | {decisions:,} | {deciding:.3f} | {busiest:.1%} |"
    )


if __name__ == "__main__":
    main()
