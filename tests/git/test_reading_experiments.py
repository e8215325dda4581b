"""Experiments as the pages read them out of bare repositories: whatever somebody pushed, in bounds."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.git_hosting import Client
from refmill import errors
from refmill.clients.objects import DirectoryObjects
from refmill.ports.experiments import Values
from refmill.ports.repositories import NewCommit
from refmill_repos import experiments as module
from refmill_repos.experiments import BareExperiments
from refmill_repos.memos import Memo
from refmill_repos.refs import BareRefs
from refmill_repos.store import BareRepositories

DVC_YAML = """\
stages:
  train:
    cmd: echo
    params: [depth]
    metrics:
      - metrics.json:
          cache: false
      - cached.yaml
"""
LOCK = "schema: '2.0'\nstages:\n  train:\n    cmd: echo\n    outs:\n    - path: cached.yaml\n      hash: md5\n      md5: {md5}\n      size: 8\n"
NOW = 1_800_000_000


class Store:
    """Repository r1 with a baseline, and short ways to give it experiments."""

    def __init__(self, git: Client, root: Path) -> None:
        self.git, self.root = git, root
        self.objects = DirectoryObjects(root / "objects", durable=False)
        files: dict[str, str | bytes] = {
            "dvc.yaml": DVC_YAML, "params.yaml": "depth: 6\nlr: 0.1\n", "metrics.json": '{"acc": 0.86}', "src/a.py": "",
        }  # fmt: skip
        self.baseline = git.commit(root / "work", files, "Trees")
        store = BareRepositories(root / "repos")
        store.create("r1", "main")
        git("push", "-q", store.path("r1"), "main", cwd=root / "work")
        self.experiments = BareExperiments(root / "repos", lambda _: self.objects)

    def add(
        self, name: str, files: dict[str, bytes | None], *, at: int = NOW, baseline: str = "", ref: str = ""
    ) -> str:
        """An experiment on the baseline; gives its sha."""
        base = baseline or self.baseline
        commit = NewCommit(self.baseline, files, f"dvc: commit experiment {name}", "bob", "bob@example.org", at)
        return BareRefs(self.root / "repos").record(
            "r1", commit, ref or f"refs/exps/{base[:2]}/{base[2:]}/{name}", None
        )

    def values(self, sha: str, seconds: float = 60.0) -> Values:
        """The values of one commit."""
        return self.experiments.values("r1", [sha], seconds=seconds)[sha]


@pytest.fixture
def store(git: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    for name in ("_values", "_parsed", "_declared", "_projects"):
        monkeypatch.setattr(module, name, Memo(100))
    return Store(git, tmp_path)


def test_experiments_are_listed_newest_first_with_their_baselines(store: Store) -> None:
    store.add("old", {"params.yaml": b"depth: 7\n"}, at=NOW - 10)
    new = store.add("new", {"params.yaml": b"depth: 8\n"})
    store.add("lost", {"params.yaml": b"depth: 9\n"}, at=NOW - 20, baseline="1" * 40)
    store.add("", {}, ref="refs/exps/exec/EXEC_APPLY")
    store.add("", {}, ref="refs/exps/stash")
    listing = store.experiments.list("r1")
    assert [item.name for item in listing.experiments] == ["new", "old", "lost"]
    first, lost = listing.experiments[0], listing.experiments[2]
    assert (first.commit.sha, first.commit.author, first.time) == (new, "bob", NOW)
    assert first.baseline is not None
    assert first.baseline.subject == "Trees"
    assert first.ref == f"refs/exps/{store.baseline[:2]}/{store.baseline[2:]}/new"
    assert lost.baseline is None
    assert listing.left_out == 0


def test_a_name_is_found_on_each_of_its_baselines(store: Store) -> None:
    other = store.git.commit(store.root / "work", {"src/a.py": "1"}, "more")
    store.git("push", "-q", store.root / "repos" / "r1.git", "main", cwd=store.root / "work")
    store.add("same", {"params.yaml": b"depth: 7\n"}, at=NOW - 10)
    store.add("same", {"params.yaml": b"depth: 8\n"}, baseline=other)
    store.add("same-too", {"params.yaml": b"depth: 9\n"})
    assert [item.baseline_sha for item in store.experiments.find("r1", "same")] == [other, store.baseline]
    assert store.experiments.find("r1", "sam") == []
    assert store.experiments.find("r1", "../../heads/main") == []


def test_only_the_newest_are_listed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LISTED", 2)
    for number in range(4):
        store.add(f"e{number}", {"params.yaml": b"depth: %d\n" % number}, at=NOW + number)
    listing = store.experiments.list("r1")
    assert [item.name for item in listing.experiments] == ["e3", "e2"]
    assert listing.left_out == 2


def test_values_come_from_git_and_from_the_store(store: Store) -> None:
    md5 = store.objects.write(b"rows: 3\n")
    sha = store.add("e", {"dvc.lock": LOCK.format(md5=md5).encode(), "params.yaml": b"depth: 7\nlr: 0.1\n"})
    assert store.values(sha) == Values(
        {"metrics.json": {"acc": 0.86}, "cached.yaml": {"rows": 3}}, {"params.yaml": {"depth": 7, "lr": 0.1}}
    )
    assert store.values(store.baseline).metrics == {"metrics.json": {"acc": 0.86}}


def test_data_that_comes_later_is_seen_then(store: Store) -> None:
    md5 = hashlib.md5(b"rows: 3\n").hexdigest()
    sha = store.add("e", {"dvc.lock": LOCK.format(md5=md5).encode()})
    assert store.values(sha).missing == ("cached.yaml",)
    assert store.objects.write(b"rows: 3\n") == md5
    assert store.values(sha).metrics["cached.yaml"] == {"rows": 3}
    assert store.values(sha).missing == ()


def test_the_memory_of_one_repositorys_data_is_not_anothers(store: Store) -> None:
    md5 = store.objects.write(b"rows: 3\n")
    sha = store.add("e", {"dvc.lock": LOCK.format(md5=md5).encode()})
    assert store.values(sha).metrics["cached.yaml"] == {"rows": 3}
    (store.root / "repos" / "r1.git").rename(store.root / "repos" / "r2.git")
    empty = BareExperiments(store.root / "repos", lambda _: DirectoryObjects(store.root / "none", durable=False))
    assert empty.values("r2", [sha], seconds=60)[sha].missing == ("cached.yaml",)


@pytest.mark.parametrize(
    ("files", "unreadable"),
    [
        ({"metrics.json": b"{ broken"}, ("metrics.json",)),
        ({"metrics.json": b"1" * 300_000}, ("metrics.json",)),
        ({"params.yaml": b"a: &a [*a]\n"}, ("params.yaml",)),
        ({"dvc.yaml": b"stages: [\n"}, ("dvc.yaml",)),
        ({"dvc.lock": b"stages: [\n"}, ("dvc.lock",)),
        ({"dvc.yaml": b"stages:\n  a:\n    metrics: [../../etc/passwd, /etc/passwd, '']\n"}, ()),
        ({"dvc.yaml": None, "metrics.json": None, "params.yaml": None}, ()),
    ],
)
def test_broken_files_are_named_and_hide_nothing_else(
    store: Store, files: dict[str, bytes | None], unreadable: tuple[str, ...]
) -> None:
    found = store.values(store.add("broken", files))
    assert found.unreadable == unreadable
    assert found.params or "params.yaml" in files


def test_links_are_not_followed(store: Store) -> None:
    work = store.root / "work"
    (work / "metrics.json").unlink()
    (work / "metrics.json").symlink_to("/etc/passwd")
    sha = store.git.commit(work, {}, "a link")
    store.git("push", "-q", store.root / "repos" / "r1.git", "main", cwd=work)
    assert store.values(sha).metrics == {}


def test_pipelines_in_folders_are_found(store: Store) -> None:
    below: dict[str, bytes | None] = {
        "a/b/dvc.yaml": b"metrics: [m.json]\nparams: [p.toml]\n", "a/b/m.json": b'{"x": 1}', "a/b/p.toml": b"y = 2\n",
        ".hidden/dvc.yaml": b"metrics: [m.json]\n", ".hidden/m.json": b'{"x": 1}',
    }  # fmt: skip
    found = store.values(store.add("deep", below))
    assert found.metrics == {"metrics.json": {"acc": 0.86}, "a/b/m.json": {"x": 1}}
    assert found.params["a/b/p.toml"] == {"y": 2}


def test_a_tree_built_to_take_long_costs_only_its_own_pipelines(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FOLDERS", 3)
    files: dict[str, bytes | None] = {f"f{number}/dvc.yaml": b"metrics: [m%d.json]\n" % number for number in range(9)}
    assert store.values(store.add("wide", files)).metrics == {"metrics.json": {"acc": 0.86}}


def test_what_is_not_read_in_time_is_left_for_the_next_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    shas = [store.add(f"e{number}", {"params.yaml": b"depth: %d\n" % number}) for number in range(3)]
    clock = iter(range(100))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    assert list(store.experiments.values("r1", shas, seconds=1.5)) == shas[:1]
    assert list(store.experiments.values("r1", shas, seconds=1.5)) == shas[:2]
    assert list(store.experiments.values("r1", shas, seconds=1.5)) == shas


def test_commits_that_are_not_there_have_no_values(store: Store) -> None:
    assert store.values("1" * 40) == Values()
    assert store.values("main") == Values()
    calls: list[Callable[[], object]] = [
        lambda: store.experiments.list("../r1"), lambda: store.experiments.list("r9"), lambda: store.experiments.find("r9", "e"),
        lambda: store.experiments.values("r9", [], seconds=1),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(errors.NotFound):
            call()
