"""Which runs the engine puts onto the cluster, and what it says of those that wait; also after a restart."""

import time

import pytest

from argo_worlds import World
from platforms import wait
from refmill.clients.bell import LocalBell
from refmill.model.runs import StageRun
from refmill.ports.engines import RunOrder
from refmill_argo import engine as engines

HAS_ONE = "waits for its turn: ada has 1 run on the cluster, as many as one owner may have"


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody tells is looked for after a moment."""
    monkeypatch.setattr(engines, "AGAIN", 0.3)


def why(world: World, order: RunOrder) -> str:
    """What is said of the first stage of a run."""
    return str(world.row("s0", order.run.id).explanation or "")


def runs(world: World) -> list[RunOrder]:
    """Three runs of ada, from the oldest on, and then one of bob."""
    return [world.another("a1"), world.another("a2"), world.another("a3"), world.another("b4", "bob")]


def there(world: World, *orders: RunOrder) -> list[bool]:
    return [world.is_there(order) for order in orders]


def test_an_owner_has_one_run_there_and_others_pass(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engines, "AGAIN", 600.0)  # nobody looks for so long: whose turn has come is told
    first, second, third, other = runs(world)
    engine = world.start(most=2, each=1)
    engine.submit(first)
    wait(lambda: world.is_there(first))
    for order in (second, third, other):
        engine.submit(order)
    wait(lambda: why(world, second) == why(world, third) == HAS_ONE and world.is_there(other))
    assert there(world, second, third) == [False, False]
    assert world.row("s1", second.run.id) == StageRun("s1", "pending")
    engine.stop(first.run.id)
    wait(lambda: there(world, second, third) == [True, False])
    assert why(world, third) == HAS_ONE
    engine.stop(second.run.id)
    wait(lambda: there(world, third) == [True])


def test_of_two_that_wait_the_one_of_higher_priority_begins_first(world: World):
    first, second, third = world.another("a1"), world.another("a2"), world.another("a3", priority=5)
    engine = world.start(most=1)
    engine.submit(first)
    wait(lambda: world.is_there(first))
    engine.submit(second)
    engine.submit(third)
    wait(lambda: "1 other run" in why(world, second) and "1 other run" in why(world, third))
    engine.stop(first.run.id)
    wait(lambda: world.is_there(third))
    assert not world.is_there(second)


def test_what_a_run_waits_for_is_said_once_and_anew_when_it_is_another_thing(
    world: World, soon: None, monkeypatch: pytest.MonkeyPatch
):
    first, second, _, other = runs(world)
    rings: list[str] = []
    monkeypatch.setattr(world, "bell", Rung(rings))
    engine = world.start(most=2, each=1)
    for order in (first, other):
        engine.submit(order)
    wait(lambda: there(world, first, other) == [True, True])
    engine.submit(second)
    wait(lambda: why(world, second) == HAS_ONE)
    time.sleep(1.0)  # and it is looked at again and again
    assert rings.count(f"run:{second.run.id}") == 1
    engine._turns._each = 0
    wait(lambda: "2 other runs are on the cluster" in why(world, second))


class Rung(LocalBell):
    """A bell that notes what it was rung for."""

    def __init__(self, rings: list[str]) -> None:
        super().__init__()
        self.rings = rings

    def ring(self, topic: str) -> None:
        self.rings.append(topic)
        super().ring(topic)


@pytest.mark.parametrize("limits", [{"each": 1}, {"most": 1}], ids=["of an owner", "of all"])
def test_after_a_restart_what_is_there_counts_though_it_is_handed_in_last(
    world: World, soon: None, limits: dict[str, int]
):
    first, second, *_ = runs(world)
    engine = world.start(**limits)
    engine.submit(first)
    wait(lambda: world.is_there(first))
    engine.submit(second)
    wait(lambda: why(world, second))
    engine = world.start(**limits)
    engine.clean([first.run.id, second.run.id])
    engine.submit(second)
    time.sleep(1.0)
    assert not world.is_there(second)
    engine.submit(first)
    time.sleep(0.5)
    assert not world.is_there(second)
    engine.stop(first.run.id)
    wait(lambda: world.is_there(second))


def test_a_run_of_before_that_is_never_handed_in_gives_its_place_back_with_its_end(world: World, soon: None):
    first, second, *_ = runs(world)
    world.start(each=1).submit(first)
    wait(lambda: world.is_there(first))
    engine = world.start(each=1)
    engine.clean([first.run.id, second.run.id])
    engine.submit(second)
    wait(lambda: why(world, second) == HAS_ONE)
    world.records.states.move(first.run.id, "failed", expected=("queued",))
    wait(lambda: world.is_there(second))


def test_what_was_made_just_before_a_kill_has_its_place(world: World, soon: None):
    first, second, *_ = runs(world)
    engine = world.start(most=1)
    engine.submit(first)
    paper = world.folder / "work" / first.run.id / "made"
    wait(paper.exists)
    engine.close()
    paper.unlink()
    engine = world.start(most=1)
    engine.clean([first.run.id, second.run.id])
    engine.submit(second)
    wait(lambda: "1 other run" in why(world, second))
    engine.submit(first)
    wait(paper.exists)
    engine.stop(first.run.id)
    wait(lambda: world.is_there(second))
    assert world.cluster.asked.count(f"create workflows rf-{first.run.id}") == 2  # of which the second was a no-op


def test_a_run_that_is_paused_while_it_waits_holds_up_nobody(world: World, soon: None):
    first, second, third, _ = runs(world)
    engine = world.start(most=1)
    engine.submit(first)
    wait(lambda: world.is_there(first))
    for order in (second, third):
        engine.submit(order)
        wait(lambda order=order: why(world, order))
    engine.pause(second.run.id)
    time.sleep(0.5)
    engine.stop(first.run.id)
    wait(lambda: world.is_there(third))
    engine.stop(third.run.id)
    time.sleep(0.5)
    assert not world.is_there(second)
    engine.resume(second.run.id)
    wait(lambda: world.is_there(second))


def test_a_run_that_waits_is_asked_for_once_however_often_it_is_looked_at(
    world: World, soon: None, monkeypatch: pytest.MonkeyPatch
):
    first, second, *_ = runs(world)
    engine = world.start(most=1)
    engine.submit(first)
    wait(lambda: world.is_there(first))
    engine.submit(second)
    wait(lambda: why(world, second))
    asked: list[str] = []
    stages = world.records.runs.stages

    def noted(run_id: str) -> object:
        asked.append(run_id)
        return stages(run_id)

    monkeypatch.setattr(world.records.runs, "stages", noted)
    wait(lambda: asked.count(first.run.id) >= 3)
    assert second.run.id not in asked
