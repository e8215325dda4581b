"""One run on its way through the cluster, and the look at it that `judging` judges by."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from refmill.model.runs import StageRun
from refmill.model.stages import StageSettings
from refmill.ports.engines import RunOrder
from refmill.texts import Text
from refmill_argo import contract, notes
from refmill_argo.compiling import Bundle
from refmill_argo.explaining import Wanted
from refmill_argo.judging import PodPlan, Sight
from refmill_argo.options import Options
from refmill_argo.parts import Parts
from refmill_argo.pods import Pod
from refmill_argo.sights import PodSight, WorkflowSight


@dataclass(slots=True)
class Course:
    """A run that the engine holds. `bundle` and `pods` are known from the first look on; `told` are the stages whose
    waiting for consent was told; `waits` is why it is not on the cluster yet, as it was told; `ended` is how it ended,
    once that was told: then only the cluster is to be left."""

    order: RunOrder
    paused: bool
    stopping: bool = False
    bundle: Bundle | None = None
    pods: tuple[PodPlan, ...] = ()
    told: tuple[str, ...] = ()
    waits: Text | None = None
    ended: str = ""
    ended_at: float = 0.0

    @property
    def name(self) -> str:
        """Its Workflow's name."""
        return contract.workflow_name(self.order.run.id)


def planned(bundle: Bundle, document: Mapping[str, Any], order: RunOrder, parts: Parts) -> tuple[PodPlan, ...]:
    """The pods of a run as plan.json has them, which may be of an earlier start with other settings."""
    known = {pod.number: pod for pod in bundle.pods}
    found = []
    for number, stages in enumerate(document["pods"], 1):
        addresses = tuple(str(stage["address"]) for stage in stages)
        same = known.get(number)
        if same is None or tuple(item.stage.address for item in same.stages) != addresses:
            same = None
        first = order.settings[addresses[0]]
        found.append(
            PodPlan(
                number, addresses, _wanted(same, first, parts.options),
                same.kind.restarts if same else parts.options.restarts,
                bundle.homes.get(number, contract.workflow_name(order.run.id)), pause=first.pause,
            )
        )  # fmt: skip
    return tuple(found)


def sight(
    course: Course, parts: Parts, *, made: Iterable[str], workflows: Sequence[WorkflowSight],
    pods: Sequence[PodSight], rows: Sequence[StageRun],
) -> Sight:  # fmt: skip
    """All that is known of the run."""
    failures, losses = dict[str, int](), dict[str, int]()
    taken = dict[str, tuple[str, StageRun]]()
    for row in rows:
        if row.status in ("queued", "running") and (told := _taken(parts, course.order.run.id, row)) is not None:
            taken[row.address] = told
        if row.status == "running":
            found = notes.earlier(parts.work, course.order.run.id, row.address, row.attempt)
            failures[row.address], losses[row.address] = found
    return Sight(
        plan=course.order.plan, pods=course.pods, rows={row.address: row for row in rows},
        workflows={item.name: item for item in workflows}, seen=pods, name=course.name, made=frozenset(made),
        failures=failures, losses=losses, taken=taken,
        retries={address: said.retries for address, said in course.order.settings.items()},
        on_error=course.order.on_error, stopping=course.stopping, paused=course.paused, patience=parts.patience,
        now=time.time(),
    )  # fmt: skip


def _taken(parts: Parts, run_id: str, row: StageRun) -> tuple[str, StageRun] | None:
    """How the attempt before this one ended, if its own pod (by its name) told that it was taken away."""
    over = notes.place(parts.work, run_id, row.address, row.attempt - 1).over() if row.attempt > 1 else None
    return (over.who.partition("/")[0], over.state) if over is not None and over.who and over.reason == "lost" else None


def _wanted(pod: Pod | None, first: StageSettings, options: Options) -> Wanted:
    deadline = pod.kind.deadline if pod else None
    return Wanted(first.cpu, first.memory or options.memory, first.gpu, deadline, options.disk)
