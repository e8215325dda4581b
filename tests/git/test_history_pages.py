"""What pages show of the past; git itself is the oracle."""

from pathlib import Path

import pytest

from fakes.git_hosting import Client
from refmill import errors
from refmill_repos import history as module
from refmill_repos.history import DiffLine, History
from refmill_repos.store import BareRepositories


@pytest.fixture
def bare(git: Client, tmp_path: Path) -> Path:
    """Repository r1: a branch merged back, a rename, a binary file, a deleted one."""
    work = tmp_path / "work"
    files: dict[str, str | bytes] = {"a.txt": "1\n2\n3\n", "dir/x.py": "x\n", "dir/y.py": "y\n", "old/n": "n\n"}
    git.commit(work, {**files, "blob": b"\0\1"}, "one")
    git("checkout", "-q", "-b", "side", cwd=work)
    git.commit(work, {"dir/x.py": "x2\n"}, "side x")
    git("checkout", "-q", "main", cwd=work)
    git.commit(work, {"a.txt": "1\n2\nthree\n", "dir/z.py": "z\n"}, "main a")
    git("merge", "-q", "--no-ff", "-m", "merge", "side", cwd=work)
    git("mv", "old/n", "new", cwd=work)
    (work / "blob").write_bytes(b"\0\2")
    (work / "dir/y.py").unlink()
    git.commit(work, {"a.txt": "0\n1\n2\nthree"}, "last")
    store = BareRepositories(tmp_path / "repos")
    store.create("r1", "main")
    git("push", "-q", store.path("r1"), "main", cwd=work)
    return store.path("r1")


def test_each_entry_has_its_last_commit(git: Client, bare: Path) -> None:
    for folder in ("", "dir"):
        rows = History(bare.parent).folder("r1", "main", folder)
        for row in rows:
            path = f"{folder}/{row.name}" if folder else row.name
            last = git("log", "-1", "--format=%s", "main", "--", path, cwd=bare).strip()
            assert row.last is not None
            assert row.last.subject == last, path
    assert [row.name for row in History(bare.parent).folder("r1", "main")] == ["dir", "a.txt", "blob", "new"]


def test_an_impatient_search_leaves_commits_out(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", -1.0)
    rows = {row.name: row.last for row in History(bare.parent).folder("r1", "main")}
    assert rows["dir"] is not None
    assert set(rows) == {"dir", "a.txt", "blob", "new"}
    rows = {row.name: row.last for row in History(bare.parent).folder("r1", "main", "dir")}
    assert rows == {"x.py": None, "z.py": None}


def test_a_commit_is_compared_with_its_parent(git: Client, bare: Path) -> None:
    comparison = History(bare.parent).diff_of("r1", "main")
    found = {file.path: file for file in comparison.files}
    assert {path: file.change for path, file in found.items()} == {
        "a.txt": "modified", "blob": "modified", "dir/y.py": "deleted", "new": "renamed",
    }  # fmt: skip
    assert found["new"].old_path == "old/n"
    assert found["new"].lines == ()
    assert found["blob"].binary
    assert (found["a.txt"].added, found["a.txt"].removed) == (2, 1)
    assert found["a.txt"].lines == (
        DiffLine("@", "@@ -1,3 +1,4 @@"),
        DiffLine("+", "0", None, 1),
        DiffLine(" ", "1", 1, 2),
        DiffLine(" ", "2", 2, 3),
        DiffLine("-", "three", 3, None),
        DiffLine("+", "three", None, 4),
    )


def test_the_first_commit_adds_everything(git: Client, bare: Path) -> None:
    first = git("rev-list", "--max-parents=0", "main", cwd=bare).strip()
    comparison = History(bare.parent).diff_of("r1", first)
    assert {file.change for file in comparison.files} == {"added"}
    assert sum(file.added for file in comparison.files) == 6


def test_comparisons_are_bounded(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILES", 2)
    monkeypatch.setattr(module, "MAX_LINES", 5)
    comparison = History(bare.parent).diff_of("r1", "main")
    assert (len(comparison.files), comparison.more) == (2, True)
    assert all(file.cut or file.binary or len(file.lines) <= 5 for file in comparison.files)
    monkeypatch.setattr(module, "MAX_BYTES", 3)
    assert {file.path for file in History(bare.parent).diff("r1", None, "main").files if file.cut} >= {"a.txt"}


def test_what_is_not_there_is_not_found(bare: Path) -> None:
    history = History(bare.parent)
    with pytest.raises(errors.NotFound):
        history.folder("r1", "main", "nothing")
    with pytest.raises(errors.NotFound):
        history.folder("r1", "main", "a.txt")
    with pytest.raises(errors.NotFound):
        history.diff("r1", "nothing", "main")
    with pytest.raises(errors.NotFound):
        history.diff_of("../r1", "main")
