"""Good projects: what Refmill makes of them is what DVC's own index has, in DVC's order of execution."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fakes.dvc_projects import PROJECTS, random_project, write
from refmill.clients import dvc_parsing
from refmill.clients.resolver.warming import MemoryTree
from refmill.clients.worktree import WorkTree
from refmill.model.pipelines import Pipeline, Stage
from refmill.ports.resolver import Checked

ORACLE = Path(__file__).resolve().parents[2] / "fakes" / "dvc_index.py"
RANDOM = {f"random {seed}": random_project(seed) for seed in range(40)}
ALL = PROJECTS | RANDOM


@pytest.fixture(scope="module")
def dvc_says(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    folder = tmp_path_factory.mktemp("projects")
    for number, files in enumerate(ALL.values()):
        write(files, folder / str(number))
    asked = json.dumps([str(folder / str(number)) for number in range(len(ALL))])
    done = subprocess.run(
        [sys.executable, ORACLE], input=asked, capture_output=True, text=True, check=True, timeout=100
    )
    return dict(zip(ALL, json.loads(done.stdout), strict=True))


def checked(files: Mapping[str, str]) -> Checked:
    return dvc_parsing.check(MemoryTree({path: body.encode() for path, body in files.items()}), max_stages=100)


def pipeline_of(name: str) -> Pipeline:
    found = checked(ALL[name])
    assert found.errors == ()
    assert found.pipeline is not None
    return found.pipeline


@pytest.mark.parametrize("name", ALL)
def test_stages_graph_and_order_equal_those_of_dvc(name: str, dvc_says: Mapping[str, Any]) -> None:
    expected = dvc_says[name]
    assert "error" not in expected
    pipeline = pipeline_of(name)
    assert {address: as_dvc_has_it(stage) for address, stage in pipeline.stages.items()} == expected["stages"]
    assert list(pipeline.stages) == list(expected["stages"])
    assert {address: list(above) for address, above in pipeline.upstream.items()} == expected["upstream"]
    assert list(pipeline.order) == expected["order"]


def as_dvc_has_it(stage: Stage) -> dict[str, Any]:
    return {
        "cmd": stage.cmd if isinstance(stage.cmd, str) else list(stage.cmd),
        "wdir": stage.wdir,
        "deps": [[dep.path, dep.root] for dep in stage.deps],
        "params": [[item.path, item.root, list(item.keys)] for item in stage.params],
        "outs": [[out.path, out.root, out.kind, out.cache, out.persist, out.push, out.remote] for out in stage.outs],
        "frozen": stage.frozen,
        "always_changed": stage.always_changed,
        "desc": stage.desc,
        "meta": stage.meta,
    }


def test_the_order_is_that_in_which_dvc_repro_names_stages(tmp_path: Path) -> None:
    write({**PROJECTS["chain"], "raw.csv": ""}, tmp_path)
    dry = ["dvc", "repro", "--dry", "--force"]
    done = subprocess.run(dry, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    named = [line.split("'")[1] for line in done.stdout.splitlines() if line.startswith("Running stage")]
    assert named == ["prepare", "train", "evaluate"]
    assert [address for address in pipeline_of("chain").order if address != "raw.csv.dvc"] == named


def test_top_level_lists_are_those_of_dvc_seen_from_the_root(dvc_says: Mapping[str, Any]) -> None:
    pipeline = pipeline_of("nested files")
    assert dvc_says["nested files"]["tops"] == {
        "metrics": {"b/dvc.yaml": ["m.json"]},
        "params": {"b/dvc.yaml": ["own.yaml"]},
        "plots": {"b/dvc.yaml": ["p.csv", {"id": {"x": "a", "y": {"p.csv": "b"}}}]},
        "artifacts": {"b/dvc.yaml": {"net": {"path": "out.txt", "type": "model", "labels": ["l"]}}},
    }
    assert pipeline.metrics == ("b/m.json",)
    assert pipeline.params == ("b/own.yaml",)
    assert pipeline.plots == ({"path": "b/p.csv"}, {"id": "id", "file": "b/dvc.yaml", "x": "a", "y": {"p.csv": "b"}})
    assert pipeline.artifacts == {"b:net": {"path": "b/out.txt", "type": "model", "labels": ["l"]}}


def test_metrics_and_plots_of_stages_are_listed() -> None:
    pipeline = pipeline_of("chain")
    assert pipeline.metrics == ("metrics.json",)
    assert pipeline.plots == ({"path": "loss.csv", "x": "step", "y": "loss"},)
    assert pipeline.params == ("params.yaml",)


def test_a_working_copy_reads_like_a_commit(tmp_path: Path) -> None:
    write(PROJECTS["directories and wdir"], tmp_path)
    found = dvc_parsing.check(WorkTree(tmp_path), max_stages=100)
    assert found == checked({".dvc/config": "", **PROJECTS["directories and wdir"]})


def test_committed_locks_are_found_by_address() -> None:
    body = "schema: '2.0'\nstages:\n  {name}:\n    cmd: x\n"
    locks = {"dvc.lock": body.format(name="root"), "b/dvc.lock": body.format(name="b1")}
    pipeline = checked({**PROJECTS["nested files"], **locks}).pipeline
    assert pipeline is not None
    assert pipeline.lock == {"root": {"cmd": "x"}, "b/dvc.yaml:b1": {"cmd": "x"}}


def test_what_is_ignored_is_not_looked_at() -> None:
    files = {"dvc.yaml": b"stages:\n  s: {cmd: x}\n", "venv/dvc.yaml": b"stages: [", "venv/x.dvc": b"["}
    found = dvc_parsing.check(MemoryTree(files), max_stages=9, ignored=lambda path: path == "venv/")
    assert found.problems == ()
