"""Three hundred and five thousand stages made into Argo Workflows, from the plan to the YAML, beside what it takes to
write the finished objects alone: with YAML's own writer, and with the models of a Python library for Argo."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version

import peers
import yaml
from hera.workflows.models import Workflow

from refmill.model.pipelines import Output, Pipeline, Stage
from refmill.model.plans import Plan, StagePlan
from refmill.model.runs import Run
from refmill.model.stages import StageSettings
from refmill.ports.engines import RunOrder
from refmill_argo.compiling import compile_run
from refmill_argo.options import Options

ROUNDS = 15
DUMPER = f"yaml.CSafeDumper of PyYAML {version('pyyaml')}, of the finished objects"
HERA = f"hera {version('hera')}, of the finished models"
OPTIONS = Options(server="https://refmill.example.org", runner="f" * 64)


def main() -> None:
    """Measure and print."""
    for stages in (300, 5000):
        order = ordered(stages)
        peers.show(f"{stages} stages as Argo Workflows", measure(order), DUMPER)


def measure(order: RunOrder) -> dict[str, list[float]]:
    """Seconds by peer, in turns."""
    text = "---\n".join(compile_run(order, OPTIONS).workflows.values())
    plain = list(yaml.load_all(text, Loader=yaml.CSafeLoader))
    models = [Workflow.model_validate(item) for item in plain]
    todo: dict[str, Callable[[], object]] = {
        "Refmill: pods, layout, YAML": lambda: compile_run(order, OPTIONS),
        DUMPER: lambda: yaml.dump_all(plain, Dumper=yaml.CSafeDumper),
        HERA: lambda: yaml.dump_all(
            [model.model_dump(mode="json", by_alias=True, exclude_none=True) for model in models],
            Dumper=yaml.CSafeDumper,
        ),
    }
    took: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, made in todo.items():
            began = time.perf_counter()
            made()
            took.setdefault(name, []).append(time.perf_counter() - began)
    return took


def ordered(stages: int) -> RunOrder:
    """Pairs of stages of two sizes, so that none shares a pod, between a first and a last one."""
    commands = [f"python train.py --number {number}" for number in range(stages)]
    pairs = [(0,) if number % 2 else (number - 1,) for number in range(1, stages - 1)]
    needs = [(), *pairs, tuple(range(2, stages - 1, 2))]
    made = {
        f"s{number}": Stage(f"s{number}", "dvc.yaml", "", command, outs=(Output(f"o{number}", f"o{number}"),))
        for number, command in enumerate(commands)
    }
    plans = tuple(
        StagePlan(stage, "run", (), {"cmd": stage.cmd}, tuple(f"s{need}" for need in needs[number]))
        for number, stage in enumerate(made.values())
    )
    settings = {address: StageSettings(cpu=1 + number % 2, memory=1 << 30) for number, address in enumerate(made)}
    run = Run(
        id="a" * 20, repository_id="r", repository="ada/wide", number=1, commit="0" * 40, ref="refs/heads/main",
        project="", status="queued", subject="", created_by="ada", created=0,
    )  # fmt: skip
    return RunOrder(run, Plan(Pipeline(made), plans), settings, "ada")


if __name__ == "__main__":
    main()
