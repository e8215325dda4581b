"""How the tasks of a run are put into Workflows of which each is taken by Kubernetes and by Argo.

A DAG template has at most 200 tasks and a Workflow at most 200 templates (the bounds that Argo's CRDs set since 4.0),
and a Workflow with the state of all its pods has to stay below a mebibyte. So a large run is laid out in steps, as far
as it needs them: tasks that differ in nothing but their pod become one over a list; the rest is cut into DAGs of
consecutive tasks, which wait for each other as wholes; and those are dealt out to several Workflows below one parent.

The rule to keep: a layout depends on the tasks alone, and what waits in it waits for at least what its tasks need.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from refmill import errors
from refmill.texts import text

TASKS = 200
"""Tasks of one DAG."""
KINDS, BLOCKS = 100, 98
"""Different pod templates and DAGs of one Workflow: with the two that every one has these are 200 templates."""
PODS = 3000
"""Pods of one Workflow. Argo keeps some hundred bytes of state for each, about eighty compressed."""
BYTES = 600_000
"""Of a Workflow's tasks and templates, as JSON; the rest of the mebibyte is for its state."""
TASK, NEED, ITEM, TEMPLATE = 110, 9, 6, 4800
"""About how many bytes each of them takes, at most."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a DAG: its name and the template it is made from; `needs` are numbers of tasks, each below its own.
    `pods` are the numbers of its pods: one, or several that differ in nothing else, or none (a pause point)."""

    name: str
    template: str
    needs: tuple[int, ...] = ()
    pods: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """The tasks of one DAG. Their `needs` count within the block; those of the block itself count its workflow's
    blocks."""

    tasks: tuple[Task, ...]
    needs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """The blocks of one Workflow; `needs` count the parts of the run."""

    blocks: tuple[Block, ...]
    needs: tuple[int, ...] = ()


def reduced(needs: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """`needs` without those that another one of them waits for anyway."""
    reach: list[int] = []  # for each, all that it waits for, as bits
    found = []
    for mine in needs:
        kept, covered = [], 0
        for need in sorted(set(mine), reverse=True):
            if not covered >> need & 1:
                kept.append(need)
                covered |= reach[need] | 1 << need
        reach.append(covered)
        found.append(tuple(reversed(kept)))
    return found


def lay_out(tasks: Sequence[Task]) -> tuple[Part, ...]:
    """The Workflows of a run, one in most cases. Raises LimitExceeded for one that no layout holds."""
    if len(tasks) > TASKS:
        tasks = _merged(tasks)
    if len(tasks) <= TASKS and _small(tasks):
        return (Part((Block(tuple(tasks)),)),)
    hubs = _hubs(tasks)
    ranges = list(_ranges(tasks, hubs))
    if len(ranges) > TASKS:
        hubs, ranges = set(), list(_ranges(tasks, set()))
    parts = list(_parts(tasks, ranges, hubs))
    if len(parts) > TASKS:
        raise errors.LimitExceeded(
            text("the run has too many stages of too many kinds: it would be %(count)s Workflows", count=len(parts)),
            text("Let stages share images and resources, or split the project."),
        )
    return tuple(parts)


def _merged(tasks: Sequence[Task]) -> list[Task]:
    """Those that need the same, are needed by the same and are made the same become one task over all their pods."""
    users: list[list[int]] = [[] for _ in tasks]
    for number, task in enumerate(tasks):
        for need in task.needs:
            users[need].append(number)
    alike: dict[object, list[list[int]]] = {}
    for number, task in enumerate(tasks):
        own = number if not task.pods else None
        groups = alike.setdefault((task.template, task.needs, tuple(users[number]), own), [[]])
        if len(groups[-1]) >= PODS:
            groups.append([])
        groups[-1].append(number)
    place: dict[int, int] = {}
    found: list[Task] = []
    for group in sorted(group for groups in alike.values() for group in groups):
        place.update(dict.fromkeys(group, len(found)))
        pods = tuple(pod for number in group for pod in tasks[number].pods)
        found.append(replace(tasks[group[0]], pods=pods))
    return [replace(task, needs=tuple(sorted({place[need] for need in task.needs}))) for task in found]


def _small(tasks: Sequence[Task]) -> bool:
    kinds = {task.template for task in tasks}
    return len(kinds) <= KINDS and _size(tasks) <= BYTES and sum(len(task.pods) for task in tasks) <= PODS


def _size(tasks: Iterable[Task]) -> int:
    size, kinds = 0, set[str]()
    for task in tasks:
        size += TASK + NEED * len(task.needs) + ITEM * len(task.pods)
        kinds.add(task.template)
    return size + TEMPLATE * len(kinds)


def _hubs(tasks: Sequence[Task]) -> set[int]:
    """Those that very many need, or that need very many. They are kept alone: else all of those would wait for their
    neighbours, and their neighbours for all of those."""
    degree = [sum(max(1, len(tasks[need].pods)) for need in task.needs) for task in tasks]
    for task in tasks:
        for need in task.needs:
            degree[need] += max(1, len(task.pods))
    return {number for number, many in enumerate(degree) if many > TASKS}


def _ranges(tasks: Sequence[Task], hubs: AbstractSet[int]) -> Iterator[range]:
    """Consecutive tasks that go into one DAG; each of `hubs` into one of its own."""
    start, kinds, pods = 0, set[str](), 0
    for number, task in enumerate(tasks):
        full = number - start >= TASKS or len(kinds | {task.template}) > KINDS or pods + len(task.pods) > PODS
        if number > start and (full or number in hubs or number - 1 in hubs):
            yield range(start, number)
            start, kinds, pods = number, set(), 0
        kinds.add(task.template)
        pods += len(task.pods)
    yield range(start, len(tasks))


def _parts(tasks: Sequence[Task], ranges: Sequence[range], hubs: AbstractSet[int]) -> Iterator[Part]:
    """The blocks dealt out to Workflows in their order. One that would have others wait for more than they need begins
    another Workflow."""
    several = len(ranges) > BLOCKS or not _small(tasks)
    alone = {number for number, mine in enumerate(ranges) if several and mine.start in hubs}
    block_of = {index: number for number, mine in enumerate(ranges) for index in mine}
    blocks = [_block(tasks, mine, block_of) for mine in ranges]
    groups: list[list[int]] = [[0]]
    part_of, waits = {0: 0}, set[int]()
    for number, block in enumerate(blocks[1:], 1):
        outside = {part_of[need] for need in block.needs} - {len(groups) - 1}
        together = [task for other in (*groups[-1], number) for task in blocks[other].tasks]
        full = len(groups[-1]) >= BLOCKS or not _small(together)
        if full or not outside <= waits or not alone.isdisjoint({number - 1, number}):
            groups.append([])
            waits = {part_of[need] for need in block.needs}
        groups[-1].append(number)
        part_of[number] = len(groups) - 1
    for number, group in enumerate(groups):
        outside = {part_of[need] for block in group for need in blocks[block].needs} - {number}
        inside = tuple(
            replace(blocks[block], needs=tuple(need - group[0] for need in blocks[block].needs if need >= group[0]))
            for block in group
        )
        yield Part(inside, tuple(sorted(outside)))


def _block(tasks: Sequence[Task], mine: range, block_of: dict[int, int]) -> Block:
    """One DAG; its own needs count all blocks of the run."""
    outside = {block_of[need] for index in mine for need in tasks[index].needs if need not in mine}
    inner = [
        replace(tasks[index], needs=tuple(need - mine.start for need in tasks[index].needs if need in mine))
        for index in mine
    ]
    return Block(tuple(inner), tuple(sorted(outside)))
