"""Where stages find MLflow, as the operator has said: the same in pods as on this machine, and nowhere without network."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from planted_runs import Ground
from refmill.engine import stages
from refmill.model.runs import Run
from refmill.ports.engines import RunOrder
from refmill.ports.resolver import Source
from refmill_web import wiring

URI = "http://mlflow.example.org:5000"
NAME = "MLFLOW_TRACKING_URI"
TOLD = {"mlflow_tracking_uri": URI}
FILES = {
    "dvc.yaml": "stages:\n  train: {cmd: 'true', outs: [model]}\n",
    "refmill.yaml": "apiVersion: refmill/v1\nkind: Pipeline\nmetadata: {name: x}\nspec:\n  env: {A: '1'}\n",
}


def ordered(ground: Ground, run: Run) -> RunOrder:
    """The run as any engine takes it."""
    checked = ground.parts.resolver.check(Source(ground.parts.repositories.path(run.repository_id), run.commit, ""))
    return wiring.order(ground.parts, run, ground.parts.records.runs.plan(run.id), checked)


def told(
    root: Path, settings: Mapping[str, Any], files: Mapping[str, str] = FILES, *, network: bool = True
) -> list[dict[str, str]]:
    """The variables of a stage here, and in a pod; `network` is what holds for the repository."""
    ground = Ground(root, dict(settings))
    repository = ground.repository(files)
    ground.parts.records.catalogue.change(replace(repository, network=network))
    run = ground.run(repository)
    pod = ground.pod(run)
    pod.open()
    there: dict[str, str] = pod.begin()["env"]
    return [stages.variables(run.id, "train", ordered(ground, run).settings["train"]), there]


def test_a_stage_is_told_wherever_it_runs(tmp_path: Path) -> None:
    here, there = told(tmp_path, TOLD)
    assert here == there
    assert (here[NAME], here["A"]) == (URI, "1")


def test_without_a_setting_none_is_told(tmp_path: Path) -> None:
    assert [NAME in variables for variables in told(tmp_path, {})] == [False, False]


def test_what_a_project_says_itself_wins(tmp_path: Path) -> None:
    own = FILES["refmill.yaml"] + f"  stages: {{train: {{env: {{{NAME}: 'file:mlruns'}}}}}}\n"
    found = told(tmp_path, TOLD, FILES | {"refmill.yaml": own})
    assert [variables[NAME] for variables in found] == ["file:mlruns"] * 2


@pytest.mark.parametrize(("settings", "network"), [({}, False), ({"network": False}, True)])
def test_a_stage_that_could_not_reach_it_is_not_told(tmp_path: Path, settings: dict[str, Any], network: bool) -> None:
    found = told(tmp_path, TOLD | {"argo_networks": "10.0.0.0/8"} | settings, network=network)
    assert [NAME in variables for variables in found] == [False, False]


def test_another_address_makes_no_other_environment(tmp_path: Path) -> None:
    digests = []
    for name, settings in {"without": {}, "with": TOLD}.items():
        ground = Ground(tmp_path / name, settings)
        digests.append(ordered(ground, ground.run(ground.repository(FILES))).environments)
    assert digests[0] == digests[1]


def test_commands_are_somebody_wherever_they_run(tmp_path: Path) -> None:
    for variables in told(tmp_path, {}):
        assert (variables["USER"], variables["LOGNAME"]) == ("refmill", "refmill")
