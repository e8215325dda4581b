"""Which pods a plan comes to, and what each is made for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from refmill import errors
from refmill.model.placement import Toleration
from refmill.model.plans import Plan, StagePlan
from refmill.model.stages import StageSettings
from refmill.texts import text
from refmill_argo.fusing import Link, chains
from refmill_argo.options import Options

SLACK = 600
"""Seconds that a pod has beside the timeouts of its stages, to fetch inputs and store outputs; only a pod whose runner
hangs needs this end."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a pod is made for, apart from what runs in it: pods of the same kind share a template. `cpu` in thousandths
    of a core, `memory` in bytes; `restarts` and `deadline` (seconds, None = none) are Argo's, not the stages'."""

    image: str
    python: bool
    cpu: int
    memory: int
    gpu: int = 0
    node_selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    priority_class: str = ""
    restarts: int = 0
    deadline: int | None = None


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod: its number (from 1), its stages in their order, the numbers of the pods that it needs, and whether it
    waits for somebody's consent first."""

    number: int
    stages: tuple[StagePlan, ...]
    kind: Kind
    needs: tuple[int, ...] = ()
    pause: bool = False


def pods(plan: Plan, settings: Mapping[str, StageSettings], options: Options) -> tuple[Pod, ...]:
    """The pods of a plan: none for stages that are cached, nor for those that cannot run. Raises WrongUse for an image
    that nothing can be run in."""
    waiting = _running(plan)
    number_of = {item.stage.address: number for number, item in enumerate(waiting)}
    mine = [settings[item.stage.address] for item in waiting]
    kinds = [_kind(item.stage.address, said, options) for item, said in zip(waiting, mine, strict=True)]
    needs = [tuple(sorted({number_of[other] for other in item.upstream if other in number_of})) for item in waiting]
    links = [
        Link(needed, kind, joins=said.fuse and kind.python, first=said.pause)
        for needed, kind, said in zip(needs, kinds, mine, strict=True)
    ]
    found: list[Pod] = []
    pod_of: dict[int, int] = {}
    for chain in chains(links):
        number = len(found) + 1
        pod_of.update(dict.fromkeys(chain, number))
        needed = tuple(sorted({pod_of[need] for need in needs[chain[0]]}))
        kind = _bounded(kinds[chain[0]], [mine[stage] for stage in chain], options)
        stages = tuple(waiting[stage] for stage in chain)
        found.append(Pod(number, stages, kind, needed, mine[chain[0]].pause))
    return tuple(found)


def stuck(plan: Plan) -> tuple[StagePlan, ...]:
    """The stages that cannot run: those that are blocked, and those below them."""
    addresses = set[str]()
    for item in plan.stages:
        if item.verdict == "blocked" or (item.verdict != "cached" and not addresses.isdisjoint(item.upstream)):
            addresses.add(item.stage.address)
    return tuple(item for item in plan.stages if item.stage.address in addresses)


def _running(plan: Plan) -> Sequence[StagePlan]:
    out = {item.stage.address for item in stuck(plan)}
    return [item for item in plan.stages if item.verdict != "cached" and item.stage.address not in out]


def _kind(address: str, said: StageSettings, options: Options) -> Kind:
    image = said.image or options.image
    if not options.allowed.has_shell(image):
        raise errors.WrongUse(
            text("stage %(stage)s: “%(image)s” has no /bin/sh: no command can run in it", stage=address, image=image),
            text("Take an image with a shell; one with Python 3.8 or newer is best."),
        )
    return Kind(
        image=image,
        python=options.allowed.has_python(image) if said.python is None else said.python,
        cpu=max(1, round(said.cpu * 1000)),
        memory=said.memory or options.memory,
        gpu=said.gpu,
        node_selector=tuple(sorted(said.node_selector.items())),
        tolerations=said.tolerations,
        priority_class=said.priority_class,
    )


def _bounded(kind: Kind, stages: Sequence[StageSettings], options: Options) -> Kind:
    """`kind` with the bounds that Argo keeps. An attempt may take its pod along (out of memory, say), so that each may
    need one more; an image without Python is started anew for each of them in any case."""
    return replace(
        kind,
        restarts=options.restarts + max(said.retries for said in stages),
        deadline=_deadline(stages, again=kind.python),
    )


def _deadline(stages: Iterable[StageSettings], *, again: bool) -> int | None:
    total = 0.0
    for said in stages:
        if said.timeout is None:
            return None
        total += said.timeout * (said.retries + 1 if again else 1)
    return math.ceil(total) + SLACK
