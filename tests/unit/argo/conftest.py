"""Runs made of numbers: a plan of stages s0, s1, … and what each needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from argo_worlds import World
from refmill.clients.database import open_records, sqlite_url
from refmill.model.pipelines import Output, Pipeline, Stage
from refmill.model.plans import Plan, StagePlan, Verdict
from refmill.model.runs import Run, StageRun
from refmill.model.stages import StageSettings
from refmill.ports.engines import RunOrder
from refmill_argo import rounds, watching
from refmill_argo.options import Options

RUN = Run(
    id="abcdefghij0123456789", repository_id="r3p0s1t0ry", repository="ada/digits", number=7, commit="0" * 40,
    ref="refs/heads/main", project="", status="queued", subject="x", created_by="ada", created=0,
)  # fmt: skip


class Orders:
    """Makes orders. `names` and `commands` are by number, where they are to be others."""

    def __call__(
        self, needs: Sequence[Sequence[int]], *, names: Mapping[int, str] | None = None,
        commands: Mapping[int, Any] | None = None, verdicts: Mapping[int, Verdict] | None = None,
        settings: Mapping[int, Mapping[str, Any]] | None = None, **order: Any,
    ) -> RunOrder:  # fmt: skip
        addresses = [(names or {}).get(number, f"s{number}") for number in range(len(needs))]
        stages = [
            Stage(name, "dvc.yaml", "", (commands or {}).get(number, f"echo {number}"), outs=(Output(f"o{number}", f"o{number}"),))
            for number, name in enumerate(addresses)
        ]  # fmt: skip
        plans = [
            StagePlan(
                stage, (verdicts or {}).get(number, "run"), (), {"cmd": stage.cmd},
                tuple(addresses[need] for need in needs[number]),
            )
            for number, stage in enumerate(stages)
        ]  # fmt: skip
        pipeline = Pipeline({stage.address: stage for stage in stages})
        said = {
            address: StageSettings(**{"memory": 1 << 30, **(settings or {}).get(number, {})})
            for number, address in enumerate(addresses)
        }
        return RunOrder(order.pop("run", RUN), Plan(pipeline, tuple(plans)), said, "ada", **order)


@pytest.fixture(scope="session")
def order() -> Orders:
    return Orders()


@pytest.fixture(scope="session")
def options() -> Options:
    return Options(server="https://refmill.example.org", runner="f" * 64)


@pytest.fixture
def world(order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(watching, "FIRST", 0.02)
    monkeypatch.setattr(rounds, "FIRST", 0.02)
    records = open_records(sqlite_url(tmp_path / "refmill.db"))
    owner = records.people.add("ada", None)
    repository = records.catalogue.add(owner.name, "digits")
    made = order([[], [0]], settings={0: {"fuse": False}, 1: {"fuse": False}})
    run = records.runs.add(
        replace(made.run, repository_id=repository.id),
        made.plan,
        [StageRun(item.stage.address, "pending") for item in made.plan.stages],
    )
    found = World(tmp_path, records, replace(made, run=run))
    yield found
    found.cluster.away = False
    for engine in found.engines:
        engine.close()
    found.cluster.hang_up()
    records.close()
