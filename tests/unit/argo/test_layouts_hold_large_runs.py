"""However a run is cut up, everything runs once, after what it needs, in Workflows that Kubernetes takes."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from numbered_runs import APART, COUNT, SHAPES
from refmill import errors
from refmill.ports.engines import RunOrder
from refmill_argo import layout
from refmill_argo.compiling import compile_run
from refmill_argo.layout import Part, Task, lay_out, reduced
from refmill_argo.options import Options


@st.composite
def graphs(draw: st.DrawFn) -> list[Task]:
    """Up to forty tasks of some kinds; some are pause points."""
    return [
        Task(
            f"s{number}", draw(st.sampled_from(["t1", "t1", "t1", "t2", "t3", "t4"])),
            tuple(sorted(draw(st.sets(st.integers(0, number - 1), max_size=3)))) if number else (),
            draw(st.sampled_from([(number,), (number,), (number,), ()])),
        )
        for number in range(draw(st.integers(1, 40)))
    ]  # fmt: skip


def everything_before(tasks: Sequence[Task]) -> dict[str, set[str]]:
    """For each task the names of all that it waits for."""
    found: dict[str, set[str]] = {}
    for task in tasks:
        above = [tasks[need].name for need in task.needs]
        found[task.name] = set(above).union(*(found[name] for name in above))
    return found


def waits(parts: Sequence[Part]) -> dict[int, set[int]]:
    """For each pod of a layout, all the pods that have ended before it begins."""
    done_of_part: list[set[int]] = []
    found: dict[int, set[int]] = {}
    for part in parts:
        before = set[int]().union(*(done_of_part[need] for need in part.needs))
        done_of_block: list[set[int]] = []
        for block in part.blocks:
            earlier = before.union(*(done_of_block[need] for need in block.needs))
            done: list[set[int]] = []
            for task in block.tasks:
                ended = earlier.union(*(done[need] for need in task.needs))
                found |= dict.fromkeys(task.pods, ended)
                done.append(ended | set(task.pods))
            done_of_block.append(earlier.union(*done))
        done_of_part.append(before.union(*done_of_block))
    return found


@given(graphs())
def test_everything_runs_once_and_after_what_it_needs(tasks: list[Task]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"TASKS": 6, "KINDS": 3, "BLOCKS": 3, "PODS": 9}.items():
            patch.setattr(layout, name, value)
        try:
            parts = lay_out(tasks)
        except errors.LimitExceeded:
            return
        found = waits(parts)
        pods = [pod for part in parts for block in part.blocks for task in block.tasks for pod in task.pods]
        assert sorted(pods) == sorted(pod for task in tasks for pod in task.pods)
        above = everything_before(tasks)
        of = {task.name: set(task.pods) for task in tasks}
        for task in tasks:
            for pod in task.pods:
                assert found[pod] >= set[int]().union(*(of[name] for name in above[task.name]))
        for part in parts:
            assert len(part.blocks) <= layout.TASKS
            assert len({task.template for block in part.blocks for task in block.tasks}) <= layout.KINDS
            assert sum(len(task.pods) for block in part.blocks for task in block.tasks) <= layout.PODS
            assert all(len(block.tasks) <= layout.TASKS for block in part.blocks)


@given(graphs())
def test_what_is_waited_for_anyway_is_not_said(tasks: list[Task]) -> None:
    fewer = [
        Task(task.name, "t", needs) for task, needs in zip(tasks, reduced([task.needs for task in tasks]), strict=True)
    ]
    assert everything_before(fewer) == everything_before(tasks)
    for task in fewer:
        for need in task.needs:
            rest = everything_before([*fewer[: int(task.name[1:])], Task("x", "t", tuple({*task.needs} - {need}))])
            assert fewer[need].name not in rest["x"]


def checked(order: RunOrder, options: Options) -> list[dict[str, object]]:
    """The Workflows of a run, after a look at all bounds."""
    made = compile_run(order, options)
    found = [yaml.load(text, Loader=yaml.CSafeLoader) for text in made.workflows.values()]
    for workflow in found:
        templates = workflow["spec"]["templates"]
        dags = [template["dag"]["tasks"] for template in templates if "dag" in template]
        assert len(templates) <= 200
        assert max(map(len, dags)) <= 200
        assert len(json.dumps(workflow)) < 700_000
    whole = sum(len(json.dumps(workflow["spec"])) for workflow in found)
    assert whole / len(order.plan.stages) <= 200 or len(order.plan.stages) < 100
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fuse", [True, False])
def test_five_thousand_stages_of_any_shape_fit(shape: str, fuse: bool, order, options: Options) -> None:
    checked(order(SHAPES[shape], settings={} if fuse else APART), options)


def test_five_thousand_stages_of_a_thousand_kinds_fit(order, options: Options) -> None:
    kinds = {number: {"memory": (1 << 30) + number % 1000, "fuse": False} for number in range(COUNT)}
    found = compile_run(order(SHAPES["alone"], settings=kinds), options)
    assert len(found.workflows) <= 200
    assert all(text.count("\n  - name:") <= 200 for text in found.workflows.values())


def test_a_fan_waits_for_nothing_but_its_beginning(order, options: Options) -> None:
    """Two thousand stages between a first and a last one are three tasks, exactly as they were written."""
    shape = [(), *[(0,)] * 2000, tuple(range(1, 2001))]
    (workflow,) = checked(order(shape), options)
    (main,) = [template["dag"]["tasks"] for template in workflow["spec"]["templates"] if "dag" in template]
    assert [task.get("dependencies") for task in main] == [None, ["s0001"], ["s0002"]]
    assert main[1]["withItems"] == list(range(2, 2002))


def test_parts_of_a_fan_wait_for_nothing_but_its_beginning() -> None:
    found = waits(lay_out([Task(f"s{number}", "t", SHAPES["fan"][number], (number,)) for number in range(COUNT)]))
    assert found.pop(COUNT - 1) == set(range(COUNT - 1))
    assert found.pop(0) == set()
    assert {frozenset(before) for before in found.values()} == {frozenset({0})}


def test_pairs_side_by_side_do_not_wait_for_each_other() -> None:
    found = waits(lay_out([Task(f"s{number}", "t", SHAPES["pairs"][number], (number,)) for number in range(COUNT)]))
    assert all(found[number] == ({0} if number % 2 else {0, number - 1}) for number in range(1, 3001))


def test_above_three_thousand_pods_there_is_a_parent(order, options: Options) -> None:
    parent, *children = checked(order([()] * 3500, settings={1: {"cpu": 2}}), options)
    names = [child["metadata"]["name"] for child in children]
    assert names == [f"{parent['metadata']['name']}-c{number}" for number in range(1, len(children) + 1)]
    tasks = parent["spec"]["templates"][0]["dag"]["tasks"]
    assert [task["name"] for task in tasks] == [f"c{number}" for number in range(1, len(children) + 1)]
    assert parent["spec"]["templates"][1] == {"name": "child", "suspend": {}}
    assert sum(child["spec"]["parallelism"] for child in children) <= options.parallelism


def test_where_a_run_goes_on_after_failures_blocks_do_not_stop_each_other(order, options: Options) -> None:
    shape = [tuple({number - 1, number - 3} & set(range(number))) for number in range(600)]
    (workflow,) = checked(order(shape, settings=APART, on_error="continue"), options)
    main, *blocks = [template["dag"] for template in workflow["spec"]["templates"] if "dag" in template]
    assert main["tasks"][1]["depends"] == "(b1.Succeeded || b1.Failed || b1.Errored)"
    assert not any(dag["failFast"] for dag in (main, *blocks))


def test_too_many_workflows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "TASKS", 2)
    monkeypatch.setattr(layout, "KINDS", 1)
    with pytest.raises(errors.LimitExceeded):
        lay_out([Task(f"s{number}", f"t{number}", (), (number,)) for number in range(9)])
