"""Pushes of many repositories are settled in turns."""

from refmill.flows.turns import in_turns
from refmill.model.pushes import Event, RefUpdate


def event(number: int, repository: str) -> Event:
    return Event(number, repository, RefUpdate(f"refs/heads/{number}", "0" * 40, "1" * 40), "alice", "landed", number)


def test_one_of_each_repository_comes_first() -> None:
    many = [event(number, "many") for number in range(1, 1001)]
    found = in_turns([*many, event(1001, "one"), event(1002, "two"), event(1003, "one")])
    assert [item.id for item in found[:6]] == [1, 1001, 1002, 2, 1003, 3]
    assert [item.id for item in found if item.repository_id == "many"] == list(range(1, 1001))
