"""Which stages may start, which never will, and what a run comes to: pure."""

from __future__ import annotations

import pytest

from refmill.engine.progress import Progress
from refmill.model.pipelines import Pipeline, Stage
from refmill.model.plans import Plan, StagePlan


def progress(edges: dict[str, str], done=None, **more) -> Progress:
    """`edges` maps a stage to those above it, by letters."""
    plans = tuple(
        StagePlan(Stage(name, "dvc.yaml", "", "x"), "run", (), {}, tuple(above)) for name, above in edges.items()
    )
    return Progress(Plan(Pipeline(), plans), done or {}, **more)


DIAMOND = {"a": "", "b": "a", "c": "a", "d": "bc", "e": ""}


def test_what_has_nothing_above_starts_in_the_plans_order():
    assert progress(DIAMOND).ready() == ["a", "e"]


def test_a_stage_is_freed_when_all_above_ended_well():
    course = progress(DIAMOND, {"a": "cached"})
    course.set("b", "succeeded")
    assert course.freed("b") == []
    course.set("c", "cached")
    assert course.freed("c") == ["d"]
    assert course.ready() == ["d", "e"]


def test_what_stands_above_outside_of_the_plan_counts_as_there():
    assert progress({"b": "a"}).ready() == ["b"]


def test_after_a_failure_nothing_starts_and_everything_waiting_is_hopeless():
    course = progress(DIAMOND, {"a": "succeeded"})
    course.set("b", "failed")
    course.set("c", "running")
    assert course.ready() == []
    assert course.hopeless() == [("d", "b"), ("e", "b")]
    assert course.freed("a") == []


def test_going_on_gives_up_only_what_is_below():
    course = progress({**DIAMOND, "f": "d"}, {"a": "succeeded"}, on_error="continue")
    course.set("b", "blocked")
    assert course.ready() == ["c", "e"]
    assert course.hopeless() == [("d", "b"), ("f", "b")]


def test_a_stop_leaves_what_runs_to_end_by_itself():
    course = progress(DIAMOND, {"a": "running", "b": "queued"})
    course.stopping = True
    assert course.hopeless() == [("b", ""), ("c", ""), ("d", ""), ("e", "")]
    assert course.ready() == []


@pytest.mark.parametrize(
    ("states", "stopping", "outcome"),
    [
        (["succeeded", "cached"], False, "succeeded"),
        (["succeeded", "failed"], False, "failed"),
        (["succeeded", "blocked"], False, "failed"),
        (["failed", "skipped"], False, "failed"),
        (["succeeded", "stopped"], True, "stopped"),
        (["failed", "stopped"], True, "stopped"),
        (["succeeded", "succeeded"], True, "succeeded"),
        (["stopped", "skipped"], False, "failed"),
    ],
)
def test_the_outcome(states, stopping, outcome):
    course = progress({"a": "", "b": ""}, dict(zip("ab", states, strict=True)))
    course.stopping = stopping
    assert course.over
    assert course.outcome == outcome


def test_it_is_not_over_while_one_runs():
    assert not progress({"a": "", "b": ""}, {"a": "succeeded", "b": "running"}).over


@pytest.mark.parametrize("status", ["succeeded", "pending"])
def test_who_takes_over_a_run_in_which_a_stage_was_stopped_starts_nothing_and_calls_it_stopped(status):
    course = progress({"a": "", "b": ""}, {"a": "stopped", "b": status})
    assert course.ready() == []
    for address, _ in course.hopeless():
        course.set(address, "stopped")
    assert course.over
    assert course.outcome == "stopped"
