"""Runs made of numbers: a plan of stages s0, s1, … and what each needs, also of five thousand."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from refmill.model.pipelines import Output, Pipeline, Stage
from refmill.model.plans import Plan, StagePlan, Verdict
from refmill.model.runs import Run
from refmill.model.stages import StageSettings
from refmill.ports.engines import RunOrder

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


COUNT = 5000
APART = {number: {"fuse": False} for number in range(COUNT)}
SHAPES = {
    "alone": [()] * COUNT,
    "in a row": [(number - 1,) if number else () for number in range(COUNT)],
    "fan": [(), *[(0,)] * (COUNT - 2), tuple(range(1, COUNT - 1))],
    "pairs": [(), *[(number - 1,) if number % 2 == 0 else (0,) for number in range(1, COUNT - 1)],
              tuple(range(2, COUNT - 1, 2))],
    "grid": [tuple(need for need in (number - 1, number - 70) if need >= 0 and number % 70) for number in range(COUNT)],
    "anyhow": [tuple({random.Random(number * 9 + turn).randrange(number) for turn in range(4)}) if number else ()
               for number in range(COUNT)],
    "dense": [tuple(range(max(0, number - 60), number - number % 3)) for number in range(COUNT)],
}  # fmt: skip
