"""Secrets of repositories: encrypted at rest, read by stages alone."""

import stat
from pathlib import Path

import pytest

from refmill import errors
from refmill.clients.database import Records, open_records, sqlite_url
from refmill.model.people import Repository, User


@pytest.fixture
def keyed(tmp_path: Path) -> Records:
    """Records with a file for the key."""
    return open_records(sqlite_url(tmp_path / "with key.db"), key_file=tmp_path / "secrets.key")


@pytest.fixture
def churn(keyed: Records) -> Repository:
    """A repository."""
    ann: User = keyed.people.add("ann", "a password")
    return keyed.catalogue.add(ann.name, "churn")


def test_a_secret_is_set_replaced_listed_and_removed(keyed: Records, churn: Repository) -> None:
    keyed.secrets.set(churn.id, "KEY", "first value", "ann")
    keyed.secrets.set(churn.id, "KEY", "second värlue\n", "bob")
    keyed.secrets.set(churn.id, "Key", "another", "ann")
    assert [(item.name, item.who) for item in keyed.secrets.names(churn.id)] == [("KEY", "bob"), ("Key", "ann")]
    assert keyed.secrets.values(churn.id, ["KEY", "NONE"]) == {"KEY": "second värlue\n"}
    assert keyed.secrets.remove(churn.id, "KEY")
    assert not keyed.secrets.remove(churn.id, "KEY")
    assert keyed.secrets.values(churn.id, ["KEY", "Key"]) == {"Key": "another"}


def test_another_repository_has_none_of_them(keyed: Records, churn: Repository) -> None:
    other = keyed.catalogue.add("ann", "other")
    keyed.secrets.set(churn.id, "KEY", "a value", "ann")
    assert keyed.secrets.values(other.id, ["KEY"]) == {}
    assert not keyed.secrets.names(other.id)


def test_the_database_alone_tells_nothing(keyed: Records, churn: Repository, tmp_path: Path) -> None:
    keyed.secrets.set(churn.id, "KEY", "plain-and-visible", "ann")
    keyed.close()
    assert not [path for path in tmp_path.iterdir() if b"plain-and-visible" in path.read_bytes()]
    assert stat.S_IMODE((tmp_path / "secrets.key").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.glob("secrets.key*")) == ["secrets.key"]


def test_with_another_key_it_is_told_and_not_guessed(keyed: Records, churn: Repository, tmp_path: Path) -> None:
    keyed.secrets.set(churn.id, "KEY", "a value", "ann")
    (tmp_path / "secrets.key").rename(tmp_path / "old.key")
    with pytest.raises(errors.Damaged, match="another key"):
        keyed.secrets.values(churn.id, ["KEY"])
    (tmp_path / "old.key").replace(tmp_path / "secrets.key")
    assert keyed.secrets.values(churn.id, ["KEY"]) == {"KEY": "a value"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("", "value"), ("1A", "value"), ("A-B", "value"), ("Ä", "value"), ("A" * 129, "value"), ("A", "abc"), ("A", "a\0bcd"),
     ("A", "x" * 65537)],
)  # fmt: skip
def test_what_can_be_no_secret_is_refused(keyed: Records, churn: Repository, name: str, value: str) -> None:
    with pytest.raises(errors.WrongUse):
        keyed.secrets.set(churn.id, name, value, "ann")
    assert not keyed.secrets.names(churn.id)


def test_secrets_go_with_their_repository(keyed: Records, churn: Repository) -> None:
    keyed.secrets.set(churn.id, "KEY", "a value", "ann")
    keyed.members.remove(churn.id)
    assert not keyed.secrets.names(churn.id)
