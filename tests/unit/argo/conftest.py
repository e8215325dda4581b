"""Runs made of numbers, and the options of an installation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from argo_worlds import World
from numbered_runs import Orders
from refmill.clients.database import open_records, sqlite_url
from refmill.model.runs import StageRun
from refmill_argo import rounds, watching
from refmill_argo.options import Options


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
