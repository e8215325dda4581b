"""What a push of very many branches meets before it is taken."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.web_world import World, make_world
from refmill import errors
from refmill.clients.resolver.inprocess import DirectResolver
from refmill.flows import receive
from refmill.flows.receive import Push, Reception
from refmill.model.people import Repository
from refmill.model.pushes import ZERO, RefUpdate
from refmill.ports.resolver import Checked, Source
from refmill_repos.trees import GitTree


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = make_world(tmp_path)
    yield made
    made.records.close()


@pytest.fixture
def repository(world: World) -> Repository:
    return world.repository("alice", "many")


class Counting(DirectResolver):
    """Counts what is checked."""

    checked = 0

    def check(self, source: Source) -> Checked:
        self.checked += 1
        return super().check(source)


def reception(world: World, most_refs: int = 100) -> tuple[Reception, Counting]:
    resolver = Counting(lambda source: GitTree(source.path, source.commit), max_stages=50)
    return Reception(
        inbox=world.records.inbox, catalogue=world.records.catalogue, repositories=world.repositories, refs=world.refs,
        resolver=resolver, bell=world.bell, speak=lambda _: str, address=lambda _: "", most_refs=most_refs, patience=0,
    ), resolver  # fmt: skip


def push(world: World, repository: Repository, *names: str, old: str = ZERO) -> Push:
    commit = world.commits[repository.id]
    return Push(repository.id, "alice", tuple(RefUpdate(f"refs/heads/{name}", old, commit) for name in names))


def test_a_push_that_takes_too_long_to_check_is_refused(
    world: World, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receive, "CHECK_SECONDS", -1.0)
    with pytest.raises(errors.LimitExceeded, match="takes longer than") as told:
        reception(world)[0].before(push(world, repository, "a"))
    assert told.value.remedy
    assert not world.records.inbox.open()


def test_branches_of_one_commit_are_checked_once(world: World, repository: Repository) -> None:
    flow, resolver = reception(world)
    assert flow.before(push(world, repository, *map(str, range(50)))).accepted
    assert resolver.checked == 1


def test_a_repository_takes_so_many_refs_and_no_more(world: World, repository: Repository) -> None:
    flow, _ = reception(world, most_refs=3)
    assert flow.before(push(world, repository, "a", "b")).accepted  # with "main" they are three
    with pytest.raises(errors.LimitExceeded, match="has 1 refs and may have 3: 3 more are too many"):
        flow.before(push(world, repository, "a", "b", "c"))
    here = world.commits[repository.id]
    gone = RefUpdate("refs/tags/old", here, ZERO)
    more = push(world, repository, "a", "b", "c")
    assert flow.before(Push(repository.id, "alice", (*more.updates, gone))).accepted
    assert reception(world, most_refs=1)[0].before(push(world, repository, "main", old=here)).accepted


@pytest.mark.full
def test_tens_of_thousands_of_refs_are_announced_and_land(world: World, repository: Repository) -> None:
    updates = [RefUpdate(f"refs/tags/{number}", ZERO, "1" * 40) for number in range(40_000)]
    found = world.records.inbox.announce(repository.id, "alice", updates, ())
    assert [event.update for event in found] == updates
    world.records.inbox.land([event.id for event in found])
    assert {event.state for event in world.records.inbox.open()} == {"landed"}
