"""The real dvc against the data remote: push, fetch, pull, status, import, get, and what goes wrong on the way."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.data_remote import Person, Remote, serving_data

FILES = 200


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    with serving_data(tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture
def ann(tmp_path: Path) -> Person:
    (tmp_path / "ann").mkdir()
    person = Person(tmp_path / "ann")
    person.sign_in("ann")
    return person


def fill(project: Path, salt: str, count: int) -> None:
    """A file of some size and a directory of small ones; `salt` makes them unlike those of other tests."""
    (project / "table.csv").write_text("".join(f"{salt},{line}\n" for line in range(50_000)))
    for number in range(count):
        path = project / "images" / f"{number % 7}" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{salt} {number}")


def commit_data(person: Person, project: Path) -> None:
    person("dvc", "add", "-q", "table.csv", "images", at=project)
    person("git", "add", "-A", at=project)
    person("git", "commit", "-q", "-m", "data", at=project)


def content(project: Path) -> dict[str, bytes]:
    names = ["table.csv", *(str(path.relative_to(project)) for path in (project / "images").rglob("*"))]
    return {name: (project / name).read_bytes() for name in names if (project / name).is_file()}


def test_what_is_pushed_can_be_pulled_imported_and_got(ann: Person, remote: Remote, tmp_path: Path) -> None:
    project = ann.project(tmp_path / "project", remote.url())
    fill(project, "first", FILES)
    commit_data(ann, project)
    before = remote.objects()
    ann("dvc", "push", "-q", at=project)

    # The store holds what DVC itself puts into a directory remote, under the same names, and nothing besides.
    (project / ".dvc" / "config.local").write_text(f"['remote \"plain\"']\n    url = {tmp_path / 'plain'}\n")
    ann("dvc", "push", "-q", "-r", "plain", at=project)
    plain = {str(path.relative_to(tmp_path / "plain")) for path in (tmp_path / "plain").rglob("*") if path.is_file()}
    assert remote.objects() - before == plain
    names = {name.removeprefix("files/md5/").replace("/", "") for name in plain}
    arrived = [line.split()[1] for line in remote.lines("arrived") if line.startswith("id-data ")]
    assert names <= set(arrived)
    assert arrived.index(next(name for name in names if name.endswith(".dir"))) >= FILES

    assert "Cache and remote 'refmill' are in sync." in ann("dvc", "status", "-c", at=project)

    ann("git", "clone", "-q", project, tmp_path / "clone", at=tmp_path)
    ann("dvc", "fetch", "-q", "images", at=tmp_path / "clone")
    ann("dvc", "pull", "-q", at=tmp_path / "clone")
    assert content(tmp_path / "clone") == content(project)

    ann("dvc", "get", "-q", project, "images/3", "-o", "got", at=tmp_path)
    assert (tmp_path / "got" / "3.txt").read_text() == "first 3"
    pipeline = ann.project(tmp_path / "pipeline", remote.url("models"))
    ann("dvc", "import", "-q", project, "table.csv", "--rev", "main", at=pipeline)
    assert (pipeline / "table.csv").read_bytes() == (project / "table.csv").read_bytes()


def test_a_directory_is_taken_whole_and_sound_or_not_at_all(ann: Person, remote: Remote, tmp_path: Path) -> None:
    project = ann.project(tmp_path / "project", remote.url())
    fill(project, "second", 30)
    commit_data(ann, project)
    before = remote.objects()

    # DVC would send the listing behind this one file, then take the directory for complete and never send the rest.
    said = ann("dvc", "push", "images/3/3.txt", at=project, fails=True)
    assert "29 files of this directory are not here yet: push all of it" in said
    assert len(remote.objects() - before) == 1

    # DVC believes a read-only object without hashing it again.
    cache = project / ".dvc" / "cache" / "files" / "md5"
    victim = next(path for path in cache.glob("*/*") if path.read_bytes() == b"second 17")
    overwrite(victim, b"second 1X")
    assert "these bytes have another MD5" in ann("dvc", "push", at=project, fails=True)
    after = remote.objects() - before
    name = f"files/md5/{victim.parent.name}/{victim.name}"
    assert name not in after
    assert len(after) == 30
    assert not [path for path in after if path.endswith(".dir") or "incoming" in path]

    overwrite(victim, b"second 17")
    sent = len(remote.lines("requests"))
    ann("dvc", "push", "-q", at=project)
    posts = [line for line in remote.lines("requests")[sent:] if line.startswith("POST ")]
    assert posts[0].endswith(name)
    assert posts[-1].endswith(".dir")
    assert len(posts) == 2


def overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(0o444)


def test_who_may_not_write_stores_nothing(ann: Person, remote: Remote, tmp_path: Path) -> None:
    project = ann.project(tmp_path / "project", remote.url())
    (project / "a.txt").write_text("third")
    ann("dvc", "add", "-q", "a.txt", at=project)
    before = remote.objects()
    ann.sign_in("ann", "wrong")
    assert "wrong user name or password" in ann("dvc", "push", at=project, fails=True)
    ann.sign_in("bob")
    assert "bob may only read" in ann("dvc", "push", at=project, fails=True)
    assert remote.objects() == before

    ann.sign_in("ann")
    ann("dvc", "push", "-q", at=project)
    ann.sign_in("bob")
    shutil.rmtree(project / ".dvc" / "cache")
    (project / "a.txt").unlink()
    ann("dvc", "pull", "-q", at=project)
    assert (project / "a.txt").read_text() == "third"
