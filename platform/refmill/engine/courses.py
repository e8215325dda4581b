"""One run on its way through the local engine: its stages, what is known of their results, and its template.

The rule to keep: only the engine's mind (one thread) changes these objects; `known.look` and `template` are for any
thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from refmill.engine import attempts, checkouts
from refmill.engine.environments import Environment
from refmill.engine.progress import Progress
from refmill.engine.scheduler import Grant, Need, Task
from refmill.engine.stages import Bounds, Job
from refmill.model.pipelines import LockEntry
from refmill.model.plans import StagePlan
from refmill.model.runs import StageRun
from refmill.plans.decide import Memory
from refmill.plans.inputs import Inputs
from refmill.plans.knowledge import Knowledge
from refmill.ports.engines import RunOrder, StageSettings


@dataclass(slots=True)
class StageCourse:
    """A stage that is neither cached nor over. `failures` and `losses` count attempts that ended badly or vanished;
    one that is not `allowed` to start waits for somebody's consent."""

    plan: StagePlan
    settings: StageSettings
    task: Task
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    inputs: Inputs = field(default_factory=Inputs)
    environment: Environment | None = None
    job: Job | None = None
    grant: Grant | None = None
    preparing: bool = False
    prepared: bool = False
    told: bool = False
    allowed: bool = True

    @property
    def address(self) -> str:
        """The stage's address."""
        return self.plan.stage.address


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a stage gets that asks for nothing: bytes of memory, seconds (0 = no limit); and the bounds of
    every stage."""

    memory: int = 2 << 30
    timeout: float = 0.0
    bounds: Bounds = field(default_factory=Bounds)


class Course:
    """One run, whose stages wait by its `turn`. Raises NotFound if its repository is gone."""

    def __init__(
        self, order: RunOrder, memory: Memory, *, folder: Path, repository: Callable[[], Path], defaults: Defaults,
        turn: int,
    ) -> None:  # fmt: skip
        self.order, self._turn = order, turn
        self.folder = folder
        self.paused = order.paused
        self.closing = False
        self.asking: set[str] = set()  # stages that wait for consent
        self.why: dict[str, StageRun] = {}
        self.known = Knowledge(order.plan, memory, today=order.environments, counts=order.rerun_on_environment_change)
        self.stages: dict[str, StageCourse] = {}
        self._repository = repository
        self._defaults = defaults
        self._guard = threading.Lock()
        self._template = checkouts.Template(folder / attempts.TEMPLATE)
        cached = {item.stage.address for item in order.plan.stages if item.verdict == "cached"}
        ended = {address: stage.status for address, stage in order.done.items()}
        self.progress = Progress(order.plan, {**dict.fromkeys(cached, "cached"), **ended}, on_error=order.on_error)
        for address, stage in order.done.items():
            if stage.entry is not None and address in self.progress:
                self.known.learn(address, stage.entry)
        for index, item in enumerate(order.plan.stages):
            self.stages[item.stage.address] = self._stage(item, index)

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.order.run.id

    def template(self) -> checkouts.Template:
        """The run's checkout, made when first asked for."""
        with self._guard:
            run = self.order.run
            checkouts.make(self._repository(), run.commit, self._template.path, run.source)
        return self._template

    def job(self, stage: StageCourse, attempt: int, known: LockEntry) -> Job:
        """What attempt number `attempt` needs."""
        return Job(
            run_id=self.run_id, stage=stage.plan.stage, settings=stage.settings,
            directory=self.folder / attempts.name(stage.address, attempt), template=self.template,
            objects=self.known.memory.objects, runcache=self.known.memory.runcache, inputs=stage.inputs, known=known,
            materials=self.known.materials, locked=self.order.plan.pipeline.lock.get(stage.address),
            project=self.order.run.project, memory=stage.settings.memory or self._defaults.memory,
            timeout=stage.settings.timeout or self._defaults.timeout or None,
            alternates=(self._repository() / "objects").resolve(), network=self.order.network,
            bounds=self._defaults.bounds,
        )  # fmt: skip

    def _stage(self, item: StagePlan, index: int) -> StageCourse:
        settings = self.order.settings.get(item.stage.address, StageSettings())
        need = Need(settings.cpu, settings.memory or self._defaults.memory, settings.gpu)
        key = f"{self.run_id}/{item.stage.address}"
        run = self.order.run
        task = Task(key, self.order.owner, need, run.priority, (self._turn, index))
        allowed = not settings.pause or item.stage.address in self.order.allowed
        return StageCourse(item, settings, task, allowed=allowed)
