"""Decides which waiting stage starts next within the machine's budget. Pure: no threads, no clock, no disk
(but for the turns, which several threads may ask for).

Between owners the one with the least of the machine goes first (dominant share: the largest of its shares of CPU,
memory and GPUs), among equals the one that waited longest for its turn; within an owner the higher priority, then the
older.

The rule to keep: a task that does not fit now lets smaller ones pass only PATIENCE times, then the room is kept for it.
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from refmill.engine import amounts
from refmill.texts import Text, text

PATIENCE = 8  # smaller tasks that may pass a large one; more keeps the machine fuller, less keeps it fairer
LOOK_AHEAD = 64  # tasks of one owner that are looked at for one that fits; bounds a pass over thousands of tasks
ROUNDING = 1e-9  # cores; sums of tenths are not exact


@dataclass(frozen=True, slots=True)
class Budget:
    """What stages may use together: cores, bytes of memory, GPU slots."""

    cpus: float
    memory: int
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class Need:
    """What one stage takes: cores, bytes of memory, GPU slots."""

    cpu: float = 1.0
    memory: int = 0
    gpu: int = 0


@dataclass(frozen=True, slots=True)
class Task:
    """Something that waits for room. `key` is unique among all tasks; `rank` is its age, lower is older."""

    key: str
    owner: str
    need: Need = Need()
    priority: int = 0
    rank: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Grant:
    """A task that may start, with the numbers of its GPUs."""

    task: Task
    gpus: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Load:
    """What there is for stages, what running ones have of it, how many those are, and how many wait for room."""

    budget: Budget
    taken: Need
    running: int
    waiting: int


_Place: TypeAlias = tuple[int, tuple[int, int], int, Task]
"""What tasks of one owner are sorted by: priority, rank, order of arrival."""


class Turns:
    """Gives runs their turn: the moment at which they were made, so that the oldest goes first, also after a restart
    and when it had to wait for its data. After the clock was set back, new ones still come behind those before."""

    def __init__(self) -> None:
        self._latest = 0
        self._guard = threading.Lock()

    def of(self, created: int, now: int) -> int:
        """The turn of a run that comes now; both in UTC microseconds."""
        with self._guard:
            turn = created if self._latest <= now else max(created, self._latest + 1)
            self._latest = max(self._latest, turn)
            return turn


class Scheduler:
    """Waiting tasks, and the room that running ones take."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._waiting: dict[str, list[_Place]] = {}
        self._places: dict[str, _Place] = {}
        self._running: dict[str, Grant] = {}
        self._passed: dict[str, int] = {}
        self._served: dict[str, int] = {}
        self._count = 0
        self._cpu = budget.cpus
        self._memory = budget.memory
        self._gpus = list(range(budget.gpus))

    @property
    def load(self) -> Load:
        """How full the machine is; another thread may ask, and sees about what there is."""
        gpus = self._budget.gpus - len(self._gpus)
        taken = Need(self._budget.cpus - self._cpu, self._budget.memory - self._memory, gpus)
        return Load(self._budget, taken, len(self._running), len(self._places))

    def shortage(self, need: Need) -> Text | None:
        """Why `need` can never be met here, or None. More cores than there are is no reason: it takes all of them."""
        if need.memory > self._budget.memory:
            asked, there = amounts.size(need.memory), amounts.size(self._budget.memory)
            return text("asks for %(asked)s of memory; this machine has %(there)s for stages", asked=asked, there=there)
        if need.gpu > self._budget.gpus:
            return text("asks for %(asked)s GPUs; this machine has %(there)s", asked=need.gpu, there=self._budget.gpus)
        return None

    def add(self, task: Task) -> None:
        """Let `task` wait; one that waits or runs already stays as it is."""
        if task.key in self._places or task.key in self._running:
            return
        task = replace(task, need=replace(task.need, cpu=min(task.need.cpu, self._budget.cpus)))
        self._count += 1
        place = (-task.priority, task.rank, self._count, task)
        self._places[task.key] = place
        bisect.insort(self._waiting.setdefault(task.owner, []), place, key=lambda item: item[:3])

    def adopt(self, task: Task, gpus: Iterable[int] = ()) -> None:
        """Count in a task that runs already, whether there is room or not."""
        self.remove(task.key)
        self._take(task, tuple(gpus))

    def remove(self, key: str) -> None:
        """Let a task not wait any longer."""
        place = self._places.pop(key, None)
        if place is not None:
            waiting = self._waiting[place[3].owner]
            waiting.remove(place)
            if not waiting:
                del self._waiting[place[3].owner]
        self._passed.pop(key, None)

    def release(self, key: str) -> None:
        """Give back the room of a task that has ended."""
        grant = self._running.pop(key, None)
        if grant is None:
            return
        self._cpu += grant.task.need.cpu
        self._memory += grant.task.need.memory
        self._gpus = sorted({*self._gpus, *grant.gpus})

    def grant(self) -> list[Grant]:
        """Everything that may start now; it counts as running from here on."""
        granted = []
        while (task := self._next()) is not None:
            self.remove(task.key)
            granted.append(self._take(task, tuple(self._gpus[: task.need.gpu])))
            self._count += 1
            self._served[task.owner] = self._count
        return granted

    def ahead(self, count: int) -> list[Task]:
        """The tasks that will probably be next, so that they can be made ready."""
        lists = [iter(self._waiting[owner][:count]) for owner in self._owners()]
        found: list[Task] = []
        while lists and len(found) < count:
            lists = [tasks for tasks in lists if _move(tasks, found)]
        return found[:count]

    def _owners(self) -> list[str]:
        shares: dict[str, Need] = {}
        for grant in self._running.values():
            used, need = shares.get(grant.task.owner, Need(0.0)), grant.task.need
            shares[grant.task.owner] = Need(used.cpu + need.cpu, used.memory + need.memory, used.gpu + need.gpu)

        def key(owner: str) -> tuple[float, int, int]:
            return self._share(shares.get(owner)), self._served.get(owner, 0), self._waiting[owner][0][2]

        return sorted(self._waiting, key=key)

    def _share(self, used: Need | None) -> float:
        if used is None:
            return 0.0
        pairs = ((used.cpu, self._budget.cpus), (used.memory, self._budget.memory), (used.gpu, self._budget.gpus))
        return max(part / whole for part, whole in pairs if whole) if any(whole for _, whole in pairs) else 0.0

    def _next(self) -> Task | None:
        skipped: list[Task] = []
        for owner in self._owners():
            refused: set[Need] = set()
            for *_, task in self._waiting[owner][:LOOK_AHEAD]:
                if task.need in refused:
                    continue
                if self._fits(task.need):
                    for large in skipped:
                        self._passed[large.key] = self._passed.get(large.key, 0) + 1
                    return task
                if self._passed.get(task.key, 0) >= PATIENCE:
                    return None
                refused.add(task.need)
                skipped.append(task)
        return None

    def _fits(self, need: Need) -> bool:
        return need.cpu <= self._cpu + ROUNDING and need.memory <= self._memory and need.gpu <= len(self._gpus)

    def _take(self, task: Task, gpus: tuple[int, ...]) -> Grant:
        grant = Grant(task, gpus)
        self._running[task.key] = grant
        self._cpu -= task.need.cpu
        self._memory -= task.need.memory
        self._gpus = [gpu for gpu in self._gpus if gpu not in gpus]
        return grant


def _move(tasks: Iterator[_Place], found: list[Task]) -> bool:
    item = next(tasks, None)
    if item is None:
        return False
    found.append(item[3])
    return True
