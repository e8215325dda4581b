"""Which stages run in one pod: a pod costs seconds before its first command, a stage in the same pod costs none.

A chain is a run of stages each of which needs the one before it, and such that nobody else waits for them: all but its
first need stages of the chain alone, and all but its last are needed in the chain alone. Together in a pod they lose
nothing, for they could not have run at the same time, and their in-between results need not be waited for elsewhere.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

LOOK_AHEAD = 32
"""Stages that a chain is followed without finding its end; more costs time on graphs that have none, and gains
nothing on those that people write."""


@dataclass(frozen=True, slots=True)
class Link:
    """A stage among those that run, by its number there. `needs` are numbers below its own; `kind` is what a pod is
    made for (image, resources, place); one that may not join stays alone, and a `first` one begins a pod."""

    needs: tuple[int, ...]
    kind: Hashable
    joins: bool = True
    first: bool = False


def chains(links: Sequence[Link]) -> list[tuple[int, ...]]:
    """The pods: each stage in one, every pod after those whose stages it needs."""
    users: list[list[int]] = [[] for _ in links]
    for number, link in enumerate(links):
        for need in link.needs:
            users[need].append(number)
    taken: set[int] = set()
    found = []
    for number in range(len(links)):
        if number not in taken:
            chain = _chain(number, links, users)
            taken.update(chain)
            found.append(chain)
    return found


def _chain(start: int, links: Sequence[Link], users: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The longest chain from `start` on."""
    chain, inside, waiting, whole = [start], {start}, set[int](), 1
    while links[start].joins and len(chain) - whole < LOOK_AHEAD:
        after = users[chain[-1]]
        ready = [user for user in after if all(need in inside for need in links[user].needs)]
        if len(ready) != 1 or not _fits(links[ready[0]], links[start]):
            break  # two that run side by side, or one that needs another pod: no chain goes beyond here
        waiting.update(after)
        waiting.discard(ready[0])
        chain.append(ready[0])
        inside.add(ready[0])
        if not waiting:
            whole = len(chain)
    return tuple(chain[:whole])


def _fits(link: Link, start: Link) -> bool:
    return link.joins and not link.first and link.kind == start.kind
