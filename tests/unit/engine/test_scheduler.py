"""Who starts next: pure decisions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refmill.engine.scheduler import PATIENCE, Budget, Need, Scheduler, Task, Turns


def task(key: str, owner: str = "ann", *, cpu: float = 1.0, memory: int = 0, gpu: int = 0, priority: int = 0) -> Task:
    return Task(key, owner, Need(cpu, memory, gpu), priority)


def granted(scheduler: Scheduler) -> list[str]:
    return [grant.task.key for grant in scheduler.grant()]


def test_as_many_as_there_is_room_for_in_their_order():
    scheduler = Scheduler(Budget(2.0, 100))
    for key in "abc":
        scheduler.add(task(key))
    assert granted(scheduler) == ["a", "b"]
    scheduler.release("a")
    assert granted(scheduler) == ["c"]


@pytest.mark.parametrize("need", [{"cpu": 1.5}, {"memory": 60}, {"gpu": 1}])
def test_every_kind_of_room_counts(need):
    scheduler = Scheduler(Budget(2.0, 100, 1))
    scheduler.add(task("a", **need))
    scheduler.add(task("b", **need))
    assert granted(scheduler) == ["a"]
    scheduler.release("a")
    assert granted(scheduler) == ["b"]


def test_tenths_of_cores_add_up():
    scheduler = Scheduler(Budget(1.0, 100))
    for key in range(10):
        scheduler.add(task(str(key), cpu=0.1))
    assert len(granted(scheduler)) == 10


def test_gpus_have_numbers_and_come_back():
    scheduler = Scheduler(Budget(9.0, 100, 3))
    scheduler.add(task("a", gpu=2))
    scheduler.add(task("b", gpu=1))
    assert [grant.gpus for grant in scheduler.grant()] == [(0, 1), (2,)]
    scheduler.release("a")
    scheduler.add(task("c", gpu=1))
    assert [grant.gpus for grant in scheduler.grant()] == [(0,)]


def test_owners_share_alike_however_long_their_queues():
    scheduler = Scheduler(Budget(4.0, 100))
    for key in range(20):
        scheduler.add(task(f"ann{key}"))
    for key in range(2):
        scheduler.add(task(f"bob{key}", "bob"))
    assert sorted(granted(scheduler)) == ["ann0", "ann1", "bob0", "bob1"]


def test_with_a_single_place_owners_take_turns():
    scheduler = Scheduler(Budget(1.0, 100))
    for key in range(3):
        scheduler.add(task(f"ann{key}"))
    order = granted(scheduler)
    for key in range(2):
        scheduler.add(task(f"bob{key}", "bob"))
    for _ in range(4):
        scheduler.release(order[-1])
        order += granted(scheduler)
    assert order == ["ann0", "bob0", "ann1", "bob1", "ann2"]


def test_the_share_is_that_of_the_scarcest_thing():
    scheduler = Scheduler(Budget(10.0, 100))
    scheduler.add(task("big", "ann", cpu=1, memory=60))
    assert granted(scheduler) == ["big"]
    scheduler.adopt(task("b1", "bob", cpu=3))
    scheduler.add(task("ann", "ann", cpu=6))
    scheduler.add(task("bob", "bob", cpu=6))
    assert granted(scheduler) == ["bob"]


def test_priority_is_within_an_owner_only():
    scheduler = Scheduler(Budget(1.0, 100))
    scheduler.add(task("bob", "bob"))
    scheduler.add(task("low"))
    scheduler.add(task("high", priority=5))
    order = granted(scheduler)
    for _ in range(2):
        scheduler.release(order[-1])
        order += granted(scheduler)
    assert order == ["bob", "high", "low"]


def test_small_ones_pass_a_large_one_but_not_for_ever():
    scheduler = Scheduler(Budget(2.0, 100))
    scheduler.add(task("s0"))
    order = granted(scheduler)
    scheduler.add(task("large", cpu=2))
    for key in range(1, 40):
        scheduler.add(task(f"s{key}"))
    order += granted(scheduler)
    while "large" not in order:
        scheduler.release(order.pop(0))
        order += granted(scheduler)
        assert len(order) <= 3
    assert PATIENCE <= 40 - sum(1 for _ in scheduler.ahead(99)) <= PATIENCE + 2


def test_more_cores_than_there_are_means_all_of_them():
    scheduler = Scheduler(Budget(2.0, 100))
    assert scheduler.shortage(Need(cpu=64)) is None
    scheduler.add(task("a", cpu=64))
    scheduler.add(task("b"))
    assert granted(scheduler) == ["a"]


def test_what_can_never_fit_is_said():
    scheduler = Scheduler(Budget(2.0, 3 << 30, 1))
    assert str(scheduler.shortage(Need(memory=4 << 30))) == (
        "asks for 4 GiB of memory; this machine has 3 GiB for stages"
    )
    assert str(scheduler.shortage(Need(gpu=2))) == "asks for 2 GPUs; this machine has 1"


def test_removed_and_doubled_tasks():
    scheduler = Scheduler(Budget(1.0, 100))
    scheduler.add(task("a"))
    scheduler.add(task("a"))
    scheduler.add(task("b"))
    scheduler.remove("a")
    scheduler.remove("a")
    assert granted(scheduler) == ["b"]
    scheduler.add(task("b"))
    scheduler.release("b")
    scheduler.release("b")
    assert granted(scheduler) == []


def test_what_was_adopted_takes_room_even_where_there_is_none():
    scheduler = Scheduler(Budget(1.0, 100))
    scheduler.adopt(task("old", cpu=3))
    scheduler.add(task("new"))
    assert granted(scheduler) == []
    scheduler.release("old")
    assert granted(scheduler) == ["new"]


def test_the_oldest_run_goes_first_also_when_it_comes_late():
    turns = Turns()
    assert turns.of(created=500, now=500) > turns.of(created=100, now=600)


def test_runs_that_come_after_the_clock_was_set_back_go_behind_those_before():
    turns = Turns()
    before = turns.of(created=5000, now=5000)
    after = [turns.of(created=1000 + number, now=1000 + number) for number in range(3)]
    assert [before, *after] == sorted({before, *after})
    assert turns.of(created=9000, now=9000) == 9000  # the clock has passed where it was


def test_the_next_ones_are_known_ahead():
    scheduler = Scheduler(Budget(1.0, 100))
    for key in ("a0", "a1", "a2"):
        scheduler.add(task(key))
    scheduler.add(task("b0", "bob"))
    granted(scheduler)
    assert [item.key for item in scheduler.ahead(2)] == ["b0", "a1"]


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from([0.5, 1, 2, 3]), st.integers(0, 60), st.integers(0, 2)),
        max_size=40,
    ),
    st.data(),
)
def test_the_budget_holds_and_everything_is_granted_in_the_end(tasks, data):
    budget = Budget(3.0, 100, 2)
    scheduler = Scheduler(budget)
    for number, (owner, cpu, memory, gpu) in enumerate(tasks):
        scheduler.add(task(str(number), owner, cpu=cpu, memory=memory, gpu=gpu))
    running, seen = {}, set()
    while True:
        for grant in scheduler.grant():
            assert grant.task.key not in seen
            seen.add(grant.task.key)
            running[grant.task.key] = grant
        used = [grant.task.need for grant in running.values()]
        assert sum(need.cpu for need in used) <= budget.cpus
        assert sum(need.memory for need in used) <= budget.memory
        gpus = [gpu for grant in running.values() for gpu in grant.gpus]
        assert len(gpus) == len(set(gpus)) == sum(need.gpu for need in used)
        if not running:
            break
        key = data.draw(st.sampled_from(sorted(running)))
        scheduler.release(key)
        del running[key]
    assert len(seen) == len(tasks)
