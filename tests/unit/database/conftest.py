"""A database of its own for each test, and what most of them need in it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from refmill.clients.database import Records, open_records, sqlite_url
from refmill.model.people import Repository, User
from refmill.model.plans import Plan, Reason, StagePlan
from refmill.model.pipelines import Dependency, Pipeline, Stage
from refmill.model.runs import Run, StageRun
from refmill.texts import text


@dataclass
class Clock:
    """UTC microseconds that a test moves; each look moves it by one, so that no two moments are the same."""

    time: int = 1_700_000_000_000_000
    step: int = field(default=1)

    def __call__(self) -> int:
        self.time += self.step
        return self.time

    def pass_seconds(self, seconds: float) -> None:
        self.time += int(seconds * 1_000_000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path / "refmill.db")


@pytest.fixture
def records(url: str, clock: Clock) -> Iterator[Records]:
    opened = open_records(url, reserved=frozenset({"settings"}), clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def ann(records: Records) -> User:
    return records.people.add("Ann", None)


@pytest.fixture
def repository(records: Records, ann: User) -> Repository:
    return records.catalogue.add("Ann", "Demo")


def a_run(repository: Repository, name: str, **values: object) -> Run:
    """A run that waits to be inserted; `name` is its id."""
    return Run(
        **{
            "id": name, "repository_id": repository.id, "repository": "", "number": 0, "commit": "c" * 40,
            "ref": "refs/heads/main", "project": "", "status": "queued", "subject": "a change", "created_by": "Ann",
            "created": 1, **values,
        }
    )  # type: ignore[arg-type]  # fmt: skip


def a_plan(*names: str) -> Plan:
    """A plan with a stage of each name, of every kind of value that YAML can bring into one."""
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
    return [StageRun(name, "pending") for name in names]
