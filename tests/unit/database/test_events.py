"""Pushes from announced to handled."""

import pytest

from refmill import errors
from refmill.clients.database import Records
from refmill.model.people import Repository
from refmill.model.pushes import ZERO, RefUpdate

MAIN = "refs/heads/main"


def update(ref: str, new: str, old: str = ZERO) -> RefUpdate:
    return RefUpdate(ref, old, new * 40)


def test_an_event_goes_from_announced_to_handled(records: Records, repository: Repository) -> None:
    first, second = records.inbox.announce(
        repository.id, "Ann", [update(MAIN, "1"), update("refs/tags/v1", "1")], ["refmill.skip", "é"]
    )
    assert (first.state, first.options, first.pusher) == ("announced", ("refmill.skip", "é"), "Ann")
    assert records.inbox.open() == [first, second]
    records.inbox.land([first.id])
    assert [event.state for event in records.inbox.open()] == ["landed", "announced"]
    records.inbox.settle(first.id, handled=True, run_id="r1", answer=["run 1", "…"])
    records.inbox.settle(second.id, handled=False)
    assert records.inbox.open() == []
    settled = records.inbox.get(first.id)
    assert (settled.state, settled.run_id, settled.answer) == ("handled", "r1", ("run 1", "…"))
    assert records.inbox.get(second.id).state == "void"
    with pytest.raises(errors.NotFound):
        records.inbox.get(999)


def test_a_settled_event_stays_as_it_is(records: Records, repository: Repository) -> None:
    (event,) = records.inbox.announce(repository.id, "Ann", [update(MAIN, "1")], [])
    records.inbox.settle(event.id, handled=True, run_id="r1")
    records.inbox.settle(event.id, handled=False)
    records.inbox.land([event.id])
    assert (records.inbox.get(event.id).state, records.inbox.get(event.id).run_id) == ("handled", "r1")


def test_the_tips_are_those_of_the_latest_events_that_moved_something(records: Records, repository: Repository) -> None:
    other = records.catalogue.add("ann", "other")
    for new in "123":
        records.inbox.announce(repository.id, "Ann", [update(MAIN, new)], [])
    records.inbox.announce(repository.id, "Ann", [update("refs/heads/Main", "4")], [])
    (refused,) = records.inbox.announce(repository.id, "Ann", [update(MAIN, "5")], [])
    records.inbox.settle(refused.id, handled=False)
    records.inbox.announce(other.id, "Ann", [update(MAIN, "6")], [])
    assert records.inbox.handled_tips(repository.id) == {MAIN: "3" * 40, "refs/heads/Main": "4" * 40}


def test_any_name_that_git_takes_is_kept_byte_by_byte(records: Records, repository: Repository) -> None:
    names = ["refs/heads/" + end for end in ("é", "e\u0301", "\udcff", "a'; DROP TABLE events; --", "分支", "x" * 4000)]
    records.inbox.announce(repository.id, "Ann", [update(name, "1") for name in names], [])
    assert [event.update.ref for event in records.inbox.open()] == names
    assert set(records.inbox.handled_tips(repository.id)) == set(names)


def test_all_updates_of_a_push_are_announced_or_none(records: Records, repository: Repository) -> None:
    with pytest.raises(errors.NotFound):
        records.inbox.announce("absent", "Ann", [update(MAIN, "1")], [])
    assert records.inbox.open() == []
