"""Old experiments go and repositories are packed, with real refs, real records and pushes in between."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.git_hosting import Client, Hosting
from fakes.record_values import Clock, a_plan, a_run
from refmill import errors
from refmill.clients.database import Records, open_records, sqlite_url
from refmill.flows.asides import Asides
from refmill.flows.upkeep import Calendar, Keeping, Reckoning, Upkeep
from refmill.model.asides import Aside
from refmill.model.people import Repository
from refmill.model.runs import RunStatus
from refmill.ports.repositories import NewCommit
from refmill_repos import children
from refmill_repos.refs import BareRefs
from refmill_repos.store import BareRepositories

DAY = 24 * 3600


class Kept:
    """A repository with runs that have experiments."""

    def __init__(self, git: Client, root: Path) -> None:
        self.clock = Clock()
        self.last: Reckoning | None = None
        self.asides = Asides(lambda found: None)
        self.records: Records = open_records(sqlite_url(root / "refmill.db"), clock=self.clock)
        self.records.people.add("ann", None)
        self.repository: Repository = self.records.catalogue.add("ann", "churn")
        self.store, self.refs = BareRepositories(root / "repos"), BareRefs(root / "repos")
        self.store.create(self.repository.id, "main")
        self.sha = git.commit(root / "work", {"a": "x"})
        self.bare = self.store.path(self.repository.id)
        git("push", "-q", self.bare, "main", cwd=root / "work")

    def run(self, name: str, status: RunStatus = "succeeded") -> str:
        """A run and its experiment; gives the experiment's ref."""
        run = self.records.runs.add(
            a_run(self.repository, name, commit=self.sha, created=self.clock()), a_plan("train"), []
        )
        ref = self.ref(f"run-{run.number}")
        self.refs.record(self.repository.id, NewCommit(self.sha, {"b": b"y"}, name, "r", "r@x", 1), ref, None)
        self.records.states.set_experiment(run.id, f"run-{run.number}")
        if status != "queued":
            self.records.states.move(run.id, status, expected=("queued",))
        return ref

    def ref(self, name: str) -> str:
        return f"refs/exps/{self.sha[:2]}/{self.sha[2:]}/{name}"

    def keep(self, found: Reckoning) -> None:
        self.last = found

    def tend(self, days: float = 90, count: int = 500, *, anew: bool = True) -> list[str]:
        """Look after it, for the first time or once more; gives the names of the experiments that are left."""
        self.last = None if anew else self.last
        parts = {
            "catalogue": self.records.catalogue, "runs": self.records.runs, "repositories": self.store,
            "refs": self.refs, "asides": self.asides, "calendar": Calendar(lambda: self.last, self.keep, self.clock),
        }  # fmt: skip
        Upkeep(**parts, keeping=Keeping(days, count)).round(lambda: False)
        return [ref.rpartition("/")[2] for ref in self.refs.list(self.repository.id, "refs/exps/")]


@pytest.fixture
def kept(git: Client, tmp_path: Path) -> Iterator[Kept]:
    made = Kept(git, tmp_path)
    yield made
    made.records.close()


def test_the_newest_experiments_are_kept_and_those_that_are_not_too_old(kept: Kept) -> None:
    for number in range(12):
        kept.run(f"r{number}")
        kept.clock.pass_seconds(10 * DAY)
    assert kept.tend(0, 0) == sorted(f"run-{number}" for number in range(1, 13))
    assert kept.tend(days=90) == sorted(f"run-{number}" for number in range(5, 13))
    assert kept.tend(count=2) == ["run-11", "run-12"]
    assert kept.tend(count=1) == ["run-12"]
    kept.clock.pass_seconds(1000 * DAY)
    assert kept.tend(days=0) == ["run-12"]
    assert kept.tend() == []
    assert kept.refs.commit(kept.repository.id, "main").sha == kept.sha


def test_what_others_named_and_what_is_not_finished_stays(git: Client, kept: Kept, tmp_path: Path) -> None:
    old = kept.run("old")
    unfinished = kept.run("unfinished", "queued")
    promoted, foreign, elsewhere = kept.ref("best"), kept.ref("run-77"), f"refs/exps/{'a' * 2}/{'b' * 38}/run-1"
    for ref in (promoted, foreign, elsewhere, "refs/heads/candidate", "refs/tags/v1"):
        git("update-ref", ref, old, cwd=kept.bare)
    kept.clock.pass_seconds(1000 * DAY)
    kept.run("new")
    kept.run("newest")
    kept.tend(count=1)
    left = set(kept.refs.list(kept.repository.id, "refs/"))
    assert left == {unfinished, promoted, foreign, elsewhere, kept.ref("run-4"), "refs/heads/candidate",
                    "refs/heads/main", "refs/tags/v1"}  # fmt: skip


def test_a_repository_that_cannot_be_looked_after_stops_no_other(kept: Kept) -> None:
    kept.records.catalogue.add("ann", "a-lost-one")
    kept.run("old")
    kept.clock.pass_seconds(1000 * DAY)
    assert kept.tend() == []


def test_refs_are_packed_and_objects_once_there_are_many(git: Client, kept: Kept, tmp_path: Path) -> None:
    kept.run("r1")
    kept.tend()
    assert "run-1" in (kept.bare / "packed-refs").read_text()
    assert not kept.store.worn(kept.repository.id)
    git("config", "receive.unpackLimit", "10000", cwd=kept.bare)
    git.commit(tmp_path / "work", {f"g{number}": f"g{number}" for number in range(3000)})
    git("push", "-q", kept.bare, "main", cwd=tmp_path / "work")
    assert kept.store.worn(kept.repository.id)
    kept.tend()
    assert not kept.store.worn(kept.repository.id)
    git("fsck", "--strict", cwd=kept.bare)


def test_refs_are_removed_together_or_not_at_all(kept: Kept) -> None:
    one, two = kept.run("r1"), kept.run("r2")
    known = kept.refs.list(kept.repository.id, "refs/exps/")
    with pytest.raises(errors.Conflict):
        kept.refs.remove(kept.repository.id, {one: known[one], two: kept.sha})
    assert kept.refs.list(kept.repository.id, "refs/exps/") == known
    kept.refs.remove(kept.repository.id, known)
    assert kept.refs.list(kept.repository.id, "refs/exps/") == {}
    kept.refs.remove(kept.repository.id, {})


def test_a_long_command_ends_with_all_its_children_when_it_is_told_to(tmp_path: Path) -> None:
    told, marker = threading.Event(), tmp_path / "still"
    script = f"!sh -c 'touch {marker}; sleep 100 & wait'"

    def stopping() -> bool:
        if marker.exists():
            told.set()
        return told.is_set()

    children.run_long(["slow"], stopping, options=["-c", f"alias.slow={script}"])
    assert told.is_set()
    with pytest.raises(children.GitFailed, match="no-such"):
        children.run_long(["no-such"], lambda: False)


def test_a_git_that_somebody_kills_says_nothing_of_the_repository() -> None:
    with pytest.raises(errors.Unavailable, match="git die was ended by signal 9"):
        children.run(["die"], options=["-c", "alias.die=!kill -9 $PPID"])


def test_packing_beside_pushes_loses_nothing(git: Client, hosting: Hosting, work: Path, tmp_path: Path) -> None:
    git("push", "-q", hosting.url("alice/churn"), "main", cwd=work)
    repository_id = hosting.gate.ids["alice/churn"]
    over = threading.Event()
    faults: list[Exception] = []

    def pack() -> None:
        while not over.is_set():
            try:
                hosting.gate.store.maintain(repository_id)
                hosting.gate.store.pack_refs(repository_id)
            except errors.RefmillError as error:
                faults.append(error)

    packer = threading.Thread(target=pack)
    packer.start()
    refs = BareRefs(hosting.root)
    tip = refs.commit(repository_id, "main").sha
    try:
        for number in range(15):
            for part in range(20):
                result = NewCommit(tip, {f"{part}/x": f"{number} {part}".encode()}, "result", "r", "r@x", number)
                refs.record(repository_id, result, f"refs/exps/aa/bb/{number}-{part}", None)
            git.commit(work, {"n": str(number)})
            git("push", "-q", hosting.url("alice/churn"), "main", f"main:refs/heads/b{number}", cwd=work)
    finally:
        over.set()
        packer.join()
    assert faults == []
    assert "bad" not in git("fsck", "--strict", cwd=hosting.bare("alice/churn"))
    git("clone", "-q", hosting.url("alice/churn"), tmp_path / "clone")
    assert git("rev-list", "--count", "--all", cwd=tmp_path / "clone").strip() == "16"


def test_a_clock_that_jumps_ahead_makes_nothing_old(kept: Kept) -> None:
    kept.run("r1")
    assert kept.tend() == ["run-1"]
    kept.clock.pass_seconds(400 * DAY)
    assert kept.tend(anew=False) == ["run-1"]
    kept.clock.pass_seconds(-400 * DAY)
    assert kept.tend(anew=False) == ["run-1"]
    for _ in range(92):  # a platform that was really off for a year catches up, a day at a time
        kept.clock.pass_seconds(DAY)
        kept.tend(anew=False)
    assert kept.tend(anew=False) == []


def test_a_repository_that_cannot_be_looked_after_is_told_of_and_stops_no_other(kept: Kept) -> None:
    kept.run("r1")
    broken = kept.records.catalogue.add("ann", "aaa")  # comes first, and has no folder
    told: list[Aside] = []
    kept.asides = Asides(lambda found: told.__setitem__(slice(None), found))
    assert kept.tend(days=0, count=0) == ["run-1"]
    assert [item.repository_id for item in told] == [broken.id]
    kept.store.create(broken.id, "main")
    kept.tend()
    assert told == []


def test_what_kept_the_parameters_of_an_ended_run_goes(kept: Kept) -> None:
    for name in ("over", "under-way", "not-made-yet"):
        new = NewCommit(kept.sha, {"params.yaml": b"a: 2"}, name, "r", "r@x", 1)
        kept.refs.record(kept.repository.id, new, f"refs/refmill/params/{name}", None)
    kept.run("over", "failed")
    kept.run("under-way", "queued")
    kept.tend()
    left = kept.refs.list(kept.repository.id, "refs/refmill/")
    assert sorted(left) == ["refs/refmill/params/not-made-yet", "refs/refmill/params/under-way"]
