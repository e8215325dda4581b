"""Refs, history, and recording results; git itself is the oracle."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.git_hosting import Client
from refmill import errors
from refmill.model.pushes import ZERO
from refmill.ports.repositories import NewCommit
from refmill_repos import refs as module
from refmill_repos.refs import BareRefs
from refmill_repos.store import BareRepositories

RESULT = "refs/exps/ab/cdef/run-1"


@pytest.fixture
def bare(git: Client, tmp_path: Path, work: Path) -> Path:
    """Repository r1 with three commits on main, the first one tagged, an annotated tag, and a tag of a file."""
    store = BareRepositories(tmp_path / "repos")
    store.create("r1", "main")
    git("tag", "light", cwd=work)
    git.commit(work, {"src/train.py": "print(2)\n", "new.txt": "n"}, "second: größer\n\nbody")
    git("tag", "-a", "-m", "annotated", "v1", cwd=work)
    git("tag", "-a", "-m", "of a tag", "v1-again", "v1", cwd=work)
    git("tag", "file", "HEAD:new.txt", cwd=work)
    (work / "new.txt").unlink()
    git.commit(work, {"run.sh": "#!/bin/sh\n"}, "third")
    git("update-index", "--chmod=+x", "run.sh", cwd=work)
    git("commit", "-q", "--amend", "--no-edit", cwd=work)
    git("push", "-q", store.path("r1"), "main", "--tags", cwd=work)
    return store.path("r1")


@pytest.fixture
def refs(bare: Path) -> BareRefs:
    return BareRefs(bare.parent)


def test_refs_are_listed_with_their_commits(git: Client, bare: Path, refs: BareRefs) -> None:
    second = git("rev-parse", "main~1", cwd=bare).strip()
    assert refs.list("r1") == {"refs/heads/main": git("rev-parse", "main", cwd=bare).strip()}
    tags = refs.list("r1", "refs/tags/")
    assert list(tags) == ["refs/tags/light", "refs/tags/v1", "refs/tags/v1-again"]
    assert tags["refs/tags/v1"] == tags["refs/tags/v1-again"] == second


@pytest.mark.parametrize("revision", ["main", "refs/heads/main", "HEAD"])
def test_a_commit_is_found_by_name(git: Client, bare: Path, refs: BareRefs, revision: str) -> None:
    commit = refs.commit("r1", revision)
    assert commit.sha == git("rev-parse", "main", cwd=bare).strip()
    assert (commit.subject, commit.author, commit.parents) == ("third", "alice", (refs.commit("r1", "v1").sha,))
    assert refs.commit("r1", commit.sha[:9]) == refs.commit("r1", commit.sha) == commit
    assert refs.commit("r1", "v1").message == "second: größer\n\nbody\n"


@pytest.mark.parametrize(
    "revision",
    ["nothing", "main~1", "main^", "@", "@{0}", ":/second", "main:src", "file", "-h", "", "../x", "0" * 40, "abcdef1",
     "refs/heads/../../config", "main\0", "f" * 39],
)  # fmt: skip
def test_expressions_name_no_commit(refs: BareRefs, revision: str) -> None:
    with pytest.raises(errors.NotFound):
        refs.commit("r1", revision)


def test_the_log_is_gits(git: Client, bare: Path, refs: BareRefs) -> None:
    shas = git("log", "--format=%H", "main", cwd=bare).split()
    assert [commit.sha for commit in refs.log("r1", "main", limit=10)] == shas
    assert [commit.sha for commit in refs.log("r1", "main", limit=1, skip=1)] == shas[1:2]


def test_ancestors(git: Client, bare: Path, refs: BareRefs) -> None:
    assert refs.is_ancestor("r1", "light", "main")
    assert refs.is_ancestor("r1", "main", "main")
    assert not refs.is_ancestor("r1", "main", "light")


def test_changed_paths_are_gits(git: Client, bare: Path, refs: BareRefs, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(old: str | None, new: str) -> list[str]:
        return sorted(refs.changed_paths("r1", old, new))

    assert ask("light", "v1") == git("diff", "--name-only", "light", "v1", cwd=bare).split()
    assert ask("light", "main") == git("diff", "--name-only", "light", "main", cwd=bare).split()
    assert ask(None, "main") == ask(ZERO, "main") == git("ls-tree", "-r", "--name-only", "main", cwd=bare).split()
    assert ask("main", "main") == []
    monkeypatch.setattr(module, "MAX_CHANGED", 1)
    with pytest.raises(errors.LimitExceeded):
        ask(None, "main")


def order(parent: str) -> NewCommit:
    files = {"dvc.lock": b"schema: '2.0'\n", "out/m.json": b"{}", "src/train.py": None, "run.sh": b"#!/bin/bash\n"}
    return NewCommit(parent, files, "Run 1\n", "alice", "alice@example.org", 1_700_000_000)


def test_refs_that_cannot_be_read_are_named_beside_those_that_can(git: Client, bare: Path, refs: BareRefs) -> None:
    assert refs.faults("r1") == []
    tip = git("rev-parse", "main", cwd=bare).strip()
    for branch in ("garbage", "empty", "nowhere", "lost", "well"):
        git("update-ref", f"refs/heads/{branch}", "main~1" if branch == "lost" else "main", cwd=bare)
    (bare / "refs/heads/garbage").write_bytes(b"\0garbage")
    (bare / "refs/heads/empty").write_bytes(b"")
    (bare / "refs/heads/nowhere").write_text("1" * 40 + "\n")
    (bare / "HEAD").write_bytes(b"\0")
    assert sorted(map(str, refs.faults("r1", ["refs/heads/main"]))) == [
        "HEAD cannot be read: corrupted loose reference file: HEAD",
        "refs/heads/empty cannot be read: corrupted loose reference file: refs/heads/empty",
        "refs/heads/garbage cannot be read: corrupted loose reference file: refs/heads/garbage",
        "the branch nowhere leads to no commit that can be read",
    ]
    assert refs.list("r1")["refs/heads/main"] == tip


def test_a_result_is_recorded_as_a_commit(git: Client, bare: Path, refs: BareRefs) -> None:
    parent = refs.commit("r1", "main").sha
    sha = refs.record("r1", order(parent), RESULT, None)
    assert git("rev-parse", RESULT, f"{RESULT}^", cwd=bare).split() == [sha, parent]
    changes = git("diff", "--name-status", parent, sha, cwd=bare).split("\n")
    assert changes == ["A\tdvc.lock", "A\tout/m.json", "M\trun.sh", "D\tsrc/train.py", ""]
    assert git("ls-tree", sha, "run.sh", cwd=bare).startswith("100755")
    shown = git("show", "-s", "--format=%an <%ae> %at %ct %B", sha, cwd=bare)
    assert shown == "alice <alice@example.org> 1700000000 1700000000 Run 1\n\n"
    git("fsck", "--strict", cwd=bare)


def test_the_same_result_is_recorded_once(git: Client, bare: Path, refs: BareRefs) -> None:
    parent = refs.commit("r1", "main").sha
    first = refs.record("r1", order(parent), RESULT, None)
    assert refs.record("r1", order(parent), RESULT, None) == first
    assert refs.record("r1", replace(order(parent), message="other"), RESULT, first) != first


def test_a_result_that_is_made_anew_takes_its_own_place_and_nobody_elses(refs: BareRefs) -> None:
    parent = refs.commit("r1", "main").sha
    first = refs.record("r1", order(parent), RESULT, None)
    anew = refs.record("r1", replace(order(parent), time=1_700_000_009), RESULT, None)
    assert refs.commit("r1", RESULT).sha == anew != first
    with pytest.raises(errors.Conflict):
        refs.record("r1", replace(order(parent), message="Run 2\n"), RESULT, None)
    assert refs.commit("r1", RESULT).sha == anew


def test_a_ref_that_moved_is_left_alone(git: Client, bare: Path, refs: BareRefs) -> None:
    old, tip = refs.commit("r1", "v1").sha, refs.commit("r1", "main").sha
    for expected in (old, None):
        with pytest.raises(errors.Conflict):
            refs.record("r1", order(old), "refs/heads/main", expected)
    with pytest.raises(errors.Conflict):
        refs.record("r1", order(old), "refs/heads/main/below", None)
    assert refs.commit("r1", "main").sha == tip


def test_of_many_recorders_one_moves_the_ref(bare: Path, refs: BareRefs) -> None:
    tip = refs.commit("r1", "main").sha

    def record(number: int) -> str | None:
        try:
            return refs.record("r1", replace(order(tip), message=f"{number}"), "refs/heads/main", tip)
        except errors.Conflict:
            return None

    with ThreadPoolExecutor(8) as pool:
        won = [sha for sha in pool.map(record, range(8)) if sha]
    assert won == [refs.commit("r1", "main").sha]


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", ".git/config", "a/.GIT/hooks/x", "", "."])
def test_a_result_stays_in_its_repository(refs: BareRefs, path: str) -> None:
    commit = replace(order(refs.commit("r1", "main").sha), files={path: b"x"})
    with pytest.raises(errors.WrongUse):
        refs.record("r1", commit, RESULT, None)


@pytest.mark.parametrize("ref", ["HEAD", "refs/heads/-x", "refs/x y/z", "refs/heads/a\nb"])
def test_a_result_needs_a_possible_ref(refs: BareRefs, ref: str) -> None:
    with pytest.raises(errors.WrongUse):
        refs.record("r1", order(refs.commit("r1", "main").sha), ref, None)


def test_a_file_gives_way_to_a_folder_and_back(git: Client, bare: Path, refs: BareRefs) -> None:
    parent = refs.commit("r1", "main").sha
    sha = refs.record("r1", replace(order(parent), files={"dvc.yaml/x": b"1", "src": b"2"}), RESULT, None)
    assert git("ls-tree", "-r", "--name-only", sha, cwd=bare).split() == ["dvc.yaml/x", "run.sh", "src"]
