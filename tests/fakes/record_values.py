"""A clock that a test moves, and values to put into a database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from refmill.model.people import Repository
from refmill.model.pipelines import Dependency, Pipeline, Stage
from refmill.model.plans import Plan, Reason, StagePlan
from refmill.model.runs import Run, StageRun
from refmill.texts import text


@dataclass
class Clock:
    """UTC microseconds; each look moves it by one, so that no two moments are the same."""

    time: int = 1_700_000_000_000_000

    def __call__(self) -> int:
        self.time += 1
        return self.time

    def pass_seconds(self, seconds: float) -> None:
        self.time += int(seconds * 1_000_000)


class Watch:
    """Seconds, which pass only when a test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def a_run(repository: Repository, name: str, **values: Any) -> Run:
    """A run that waits to be inserted; `name` is its id."""
    standard: dict[str, Any] = {
        "number": 0, "commit": "c" * 40, "ref": "refs/heads/main", "project": "", "status": "queued",
        "subject": "a change", "created_by": "Ann", "created": 1,
    }  # fmt: skip
    return Run(**{"id": name, "repository_id": repository.id, "repository": "", **standard, **values})


def a_plan(*names: str) -> Plan:
    """A plan with a stage of each name, and with values that YAML can bring into one."""
    stages = {
        name: Stage(name, "dvc.yaml", "", ("python a.py", "python b.py"), deps=(Dependency("data", "data"),))
        for name in names
    }
    entry = {"cmd": "python a.py", "params": {"params.yaml": {"lr": 1e-3, "layers": {1: "a", "b": None}}}}
    plans = tuple(
        StagePlan(stage, "run", (Reason("new", text("%(name)s never ran", name=name)),), entry)
        for name, stage in stages.items()
    )
    return Plan(Pipeline(stages=stages, order=tuple(names)), plans, warnings=(text("a warning"),))


def pending(*names: str) -> list[StageRun]:
    """Stages at their beginning."""
    return [StageRun(name, "pending") for name in names]
