"""What the engine knows of the cluster stays true, whatever is lost on the way; and looks are made until they succeed."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from fakes.kubernetes_objects import FakeCluster
from platforms import wait
from refmill import errors
from refmill.ports.engines import RunOrder
from refmill.texts import text
from refmill_argo import rounds, sights, watching
from refmill_argo.cluster import PODS
from refmill_argo.rounds import Rounds
from refmill_argo.turns import Turns
from refmill_argo.watching import Watching


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def news() -> list[str]:
    return []


@pytest.fixture
def begin(
    cluster: FakeCluster, news: list[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Watching[sights.PodSight]]]:
    monkeypatch.setattr(watching, "FIRST", 0.01)
    begun = []

    def begin(relist: float = 300.0) -> Watching[sights.PodSight]:
        found = Watching(cluster, PODS, "refmill.dev/installation=here", sights.pod, news.append, relist=relist)
        found.start()
        begun.append(found)
        wait(lambda: found.known)
        return found

    yield begin
    for item in begun:
        item.close()
    cluster.hang_up()


def phases(found: Watching[sights.PodSight]) -> dict[str, str]:
    return {pod.name: pod.phase for pod in found.of("r1")}


def test_what_is_there_and_what_comes_is_known(cluster, begin, news):
    cluster.pod("a", "r1", 1)
    found = begin()
    cluster.pod("b", "r1", 2, phase="Running")
    wait(lambda: phases(found) == {"a": "Pending", "b": "Running"})
    cluster.delete(PODS, "a")
    wait(lambda: phases(found) == {"b": "Running"})
    wait(lambda: set(news) == {"r1"})


def test_a_pod_of_somebody_else_is_none_of_ours(cluster, begin):
    cluster.put(
        PODS,
        "theirs",
        {
            "metadata": {
                "labels": {"refmill.dev/installation": "there", "refmill.dev/run": "r1", "refmill.dev/pod": "1"}
            }
        },
    )
    assert begin().all() == []


def test_a_change_that_was_never_told_is_found_by_the_next_list(cluster, begin):
    cluster.pod("a", "r1", 1)
    found = begin(relist=0.05)
    cluster.lose = 2
    cluster.pod("a", "r1", 1, phase="Running")
    cluster.pod("b", "r1", 2)
    wait(lambda: cluster.hang_up() or phases(found) == {"a": "Running", "b": "Pending"})


def test_a_watch_that_ended_goes_on_from_where_it_was(cluster, begin):
    cluster.pod("a", "r1", 1)
    found = begin()
    cluster.hang_up()
    cluster.pod("a", "r1", 1, phase="Running")
    wait(lambda: phases(found) == {"a": "Running"})
    assert cluster.asked.count("list pods") == 1


def test_a_version_that_the_cluster_forgot_has_all_listed_again(cluster, begin):
    cluster.pod("a", "r1", 1)
    found = begin()
    wait(lambda: any(asked.startswith("watch") for asked in cluster.asked))
    cluster.lose = 1
    cluster.delete(PODS, "a")
    cluster.hang_up(forget=True)
    wait(lambda: phases(found) == {})
    assert cluster.asked.count("list pods") == 2


def test_while_the_cluster_is_away_what_was_known_stays(cluster, begin):
    cluster.pod("a", "r1", 1)
    found = begin()
    cluster.away = True
    cluster.hang_up(forget=True)
    wait(lambda: found.trouble)
    assert phases(found) == {"a": "Pending"}
    cluster.pod("a", "r1", 1, phase="Running")
    cluster.away = False
    wait(lambda: phases(found) == {"a": "Running"})


def test_an_older_answer_does_not_take_a_newer_one_back(cluster, begin):
    cluster.pod("a", "r1", 1)
    old = cluster.things["pods", "a"]
    cluster.pod("a", "r1", 1, phase="Running")
    found = begin()
    assert found.put(old).phase == "Running"
    assert phases(found) == {"a": "Running"}


def test_a_look_that_cannot_be_made_now_is_made_again(monkeypatch):
    monkeypatch.setattr(rounds, "FIRST", 0.01)
    looks = []

    def look(key: str) -> float | None:
        looks.append(key)
        if len(looks) < 8:  # more often than what fails for another reason
            raise errors.Unavailable(text("the cluster does not answer: %(detail)s", detail="x"))
        return None

    found = Rounds(look, lambda key, error: pytest.fail("it gave up"))
    monkeypatch.setattr(rounds, "LAST", 0.02)
    found.soon("r1", 0)
    wait(lambda: len(looks) == 8)
    found.close()


def test_a_look_that_fails_again_and_again_is_given_up_with_its_reason(monkeypatch):
    monkeypatch.setattr(rounds, "FIRST", 0.001)
    given: list[tuple[str, str]] = []

    def look(key: str) -> float | None:
        raise RuntimeError("no such luck")

    found = Rounds(look, lambda key, error: given.append((key, str(error))))
    found.soon("r1", 0)
    wait(lambda: given == [("r1", "no such luck")])
    found.close()


def test_a_run_is_looked_at_by_one_at_a_time_and_once_more_after_news():
    inside, most, looks = 0, 0, 0
    guard = threading.Lock()

    def look(key: str) -> float | None:
        nonlocal inside, most, looks
        with guard:
            inside += 1
            looks += 1
            most = max(most, inside)
        time.sleep(0.05)
        with guard:
            inside -= 1
        return None

    found = Rounds(look, lambda key, error: None)
    found.soon("r1", 0)
    wait(lambda: looks == 1)
    for _ in range(10):
        found.soon("r1", 0)
    wait(lambda: looks == 2)
    time.sleep(0.2)
    assert (most, looks) == (1, 2)
    found.close()


@pytest.fixture
def of(order) -> Callable[..., RunOrder]:
    """Makes runs by name, of the owner that its first letter stands for."""

    def made(name: str, created: int = 0, priority: int = 0) -> RunOrder:
        found = order([[]])
        run = replace(found.run, id=name, created=created, priority=priority)
        return replace(found, run=run, owner={"a": "ann", "b": "bob"}[name[0]])

    return made


def test_owners_take_turns_and_the_older_run_comes_first(of):
    turns = Turns(2)
    assert turns.take(of("a1"))
    assert turns.take(of("a2", 1))
    assert not turns.take(of("a3", 2))
    assert not turns.take(of("b1", 3))
    assert turns.next == ""
    turns.leave("a1")
    assert turns.next == "b1"
    assert not turns.take(of("a3", 2))
    assert turns.take(of("b1", 3))
    assert turns.take(of("a4", 9, priority=5), there=True)  # it was there before a restart
    turns.leave("a2")
    turns.leave("a4")
    assert not turns.take(of("a5", 9))
    assert turns.take(of("a3", 2))


def test_of_an_owners_runs_the_one_of_higher_priority_begins_first(of):
    turns, began = Turns(1), ["a0"]
    runs = {name: of(name, created, priority) for name, created, priority in (
        ("a0", 0, 0), ("a1", 1, 0), ("a2", 2, 7), ("a3", 3, 7), ("a4", 4, -1),
    )}  # fmt: skip
    assert [turns.take(order) for order in runs.values()] == [True, False, False, False, False]
    while True:
        turns.leave(began[-1])
        if not (name := turns.next):
            break
        assert turns.take(runs[name])
        began.append(name)
    assert began == ["a0", "a2", "a3", "a1", "a4"]


def test_whatever_an_owners_runs_are_worth_the_others_have_their_turns(of):
    turns, began = Turns(1), ["a0"]
    runs = {name: of(name, created, priority) for name, created, priority in (
        ("a0", 0, 9), ("a1", 1, 9), ("a2", 2, 9), ("a3", 3, 9), ("b1", 4, 0), ("b2", 5, 0),
    )}  # fmt: skip
    assert turns.take(runs["a0"])
    while True:
        for name, order in runs.items():
            assert name in began or not turns.take(order)
        turns.leave(began[-1])
        if not (name := turns.next):
            break
        assert turns.take(runs[name])
        began.append(name)
    assert began == ["a0", "b1", "a1", "b2", "a2", "a3"]


def test_of_one_owner_only_so_many_are_there_and_others_pass(of):
    turns = Turns(3, 1)
    assert turns.take(of("a1"))
    assert not turns.take(of("a2", 1, priority=9))
    assert turns.next == ""
    assert turns.take(of("b1", 2))
    assert str(turns.why("ann")) == "waits for its turn: ann has 1 run on the cluster, as many as one owner may have"
    assert turns.take(of("a3", 3), there=True)  # as before a restart with another limit
    assert str(turns.why("ann")) == "waits for its turn: ann has 2 runs on the cluster, as many as one owner may have"
    turns.leave("a1")
    assert not turns.take(of("a2", 1, priority=9))
    turns.leave("a3")
    assert turns.next == "a2"
    assert turns.take(of("a2", 1, priority=9))


def test_without_a_limit_for_all_an_owner_has_one_all_the_same(of):
    turns = Turns(0, 2)
    assert [turns.take(of(name)) for name in ("a1", "a2", "a3", "b1", "b2", "b3")] == [True, True, False] * 2


def test_where_everybodys_places_are_taken_that_is_said(of):
    turns = Turns(2, 2)
    assert turns.take(of("a1"))
    assert turns.take(of("b1"))
    assert not turns.take(of("a2"))
    assert str(turns.why("ann")) == "waits for its turn: 2 other runs are on the cluster, as many as may be"


def test_a_run_that_waits_no_more_holds_up_nobody(of):
    turns = Turns(1)
    assert turns.take(of("a1"))
    assert not turns.take(of("a2", 1))
    assert not turns.take(of("a3", 2))
    turns.leave("a2")  # it is paused
    turns.leave("a1")
    assert turns.next == "a3"


def test_a_run_of_an_earlier_start_counts_before_it_is_handed_in(of):
    turns = Turns(2, 1)
    turns.count_in("a1", "ann")
    assert not turns.take(of("a2"))
    assert turns.take(of("b1"))
    assert turns.take(of("a1"))
    assert not turns.take(of("b2"))
    turns.leave("a1")
    assert turns.take(of("a2"))
