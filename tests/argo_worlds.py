"""The engine of a cluster with real records and a cluster in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fakes.kubernetes_objects import FakeCluster
from platforms import wait
from refmill.clients.bell import LocalBell
from refmill.clients.database import Records
from refmill.clients.resolver.warming import MemoryTree
from refmill.model.runs import Run, StageRun
from refmill.plans.decide import Memory
from refmill.ports.engines import RunOrder
from refmill_argo.cluster import WORKFLOWS
from refmill_argo.engine import ArgoEngine
from refmill_argo.notes import TELLING
from refmill_argo.options import Options
from refmill_argo.parts import Parts

WF = WORKFLOWS.plural


@dataclass
class World:
    folder: Path
    records: Records
    order: RunOrder
    cluster: FakeCluster = field(default_factory=FakeCluster)
    bell: LocalBell = field(default_factory=LocalBell)
    ends: list[tuple[str, str]] = field(default_factory=list)
    waited: list[tuple[str, ...]] = field(default_factory=list)
    kept: dict[tuple[str, int], str] = field(default_factory=dict)
    engines: list[ArgoEngine] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def run(self) -> Run:
        return self.order.run

    @property
    def name(self) -> str:
        return f"rf-{self.run.id}"

    def stages(self, run_id: str, stages: Sequence[StageRun]) -> None:
        raise AssertionError("states go through the records")

    def waits(self, run_id: str, stages: Sequence[str]) -> None:
        self.waited.append(tuple(stages))

    def ended(
        self, run_id: str, status: Any, files: Any, entries: Any, explanation: Any = None, *, fault: bool = False
    ) -> None:
        self.records.states.move(run_id, status, expected=("queued", "running", "paused"))
        self.ends.append((status, str(explanation or "")))

    def start(self, **parts: Any) -> ArgoEngine:
        for engine in self.engines:
            engine.close()

        def keep(run: Run, address: str, attempt: int, log: Path) -> None:
            self.kept[address, attempt] = log.read_text()

        options = Options(server="https://refmill.example.org", runner="f" * 64, installation="here")
        memory: Any = Memory(None, None, MemoryTree(self.files))  # type: ignore[arg-type]
        found = ArgoEngine(
            Parts(
                work=self.folder / "work", listener=self, cluster=self.cluster, options=options, runner=b"the runner",
                token=lambda run_id: f"token-{run_id}", runs=self.records.runs, states=self.records.states,
                memory=lambda run: memory, keep=keep, bell=self.bell, **{"relist": 0.2, **parts},
            )
        )  # fmt: skip
        self.engines.append(found)
        return found

    def row(self, address: str, run_id: str = "") -> StageRun:
        return next(row for row in self.records.runs.stages(run_id or self.run.id) if row.address == address)

    def another(self, name: str, owner: str = "ada", priority: int = 0) -> RunOrder:
        """One more run like the first, of that owner's; its id begins with `name`, and later names are younger."""
        person = self.records.people.find(owner) or self.records.people.add(owner, None)
        there = self.records.catalogue.find(person.name, "digits")
        repository = there or self.records.catalogue.add(person.name, "digits")
        run = replace(
            self.run, id=name.ljust(20, "x"), repository_id=repository.id, repository=f"{owner}/digits",
            priority=priority, created=ord(name[-1]),
        )  # fmt: skip
        stages = [StageRun(item.stage.address, "pending") for item in self.order.plan.stages]
        return replace(self.order, run=self.records.runs.add(run, self.order.plan, stages), owner=owner)

    def is_there(self, order: RunOrder) -> bool:
        """Whether the run has a Workflow."""
        return (WF, f"rf-{order.run.id}") in self.cluster.things

    def tell(self, *states: StageRun) -> None:
        """A pod tells, through the platform."""
        self.records.states.set_stages(self.run.id, states)
        self.bell.ring(TELLING + self.run.id)

    def workflow(self, *nodes: dict[str, Any], **status: Any) -> None:
        """Argo goes on with the Workflow."""
        wait(lambda: (WF, self.name) in self.cluster.things)
        known = {"phase": "Running", "nodes": {node["id"]: node for node in nodes}}
        self.cluster.change(WORKFLOWS, self.name, {"status": known | status})
        self.cluster.hang_up()
