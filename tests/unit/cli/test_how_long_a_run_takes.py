"""What `refmill run` tells of its end: from the times that its stages took before, and those of their siblings."""

from __future__ import annotations

from refmill.model.pipelines import Pipeline, Stage
from refmill.model.plans import Plan, StagePlan
from refmill_web.cli.runboard import Board


def board(before: dict[str, float], jobs: int = 1) -> Board:
    """A run of `first`, then three stages of one matrix, of which the last is cached; then `last`."""
    names = ["first", "fit@1", "fit@2", "fit@3", "last"]
    above = {"fit@1": ("first",), "fit@2": ("first",), "fit@3": ("first",), "last": ("fit@1", "fit@2")}
    stages = {name: Stage(name, "dvc.yaml", "", "x") for name in names}
    plans = tuple(
        StagePlan(stages[name], "cached" if name == "fit@3" else "run", (), {}, above.get(name, ())) for name in names
    )
    return Board(Plan(Pipeline(stages), plans), before, jobs)


def test_nothing_is_said_of_stages_that_never_ran() -> None:
    left = board({}).left()
    assert (left.seconds, left.unknown) == (0, 4)


def test_a_stage_takes_as_long_as_before_and_one_that_is_cached_nothing() -> None:
    left = board({"first": 10, "fit@1": 20, "fit@2": 30, "fit@3": 1000, "last": 5}).left()
    assert (left.seconds, left.unknown) == (65, 0)
    assert board({"first": 10, "fit@1": 20, "fit@2": 30, "last": 5}, jobs=2).left().seconds == 45


def test_a_stage_that_never_ran_takes_as_long_as_its_siblings() -> None:
    left = board({"first": 10, "fit@1": 20}).left()
    assert (left.seconds, left.unknown) == (50, 1)


def test_what_has_ended_is_no_longer_to_come_and_tells_how_long_it_took() -> None:
    going = board({"first": 10, "fit@1": 20, "last": 5})
    going.note("first", "running")
    going.note("first", "succeeded", 1.0)
    assert going.left().seconds == 45
    going.note("fit@1", "running")
    going.note("fit@1", "succeeded", 2.0)
    assert going.left().seconds == 7
