"""Accounts and passwords."""

from dataclasses import replace
from pathlib import Path

import pytest

from database_servers import ONLY_SQLITE
from refmill import errors
from refmill.clients.database import Records, open_records
from refmill.model.people import User


def test_a_name_is_found_without_regard_to_case_and_taken_once(records: Records) -> None:
    user = records.people.add("Grace", "a secret")
    assert records.people.find("gRACE") == user
    assert records.people.find("grac") is None
    with pytest.raises(errors.Conflict):
        records.people.add("GRACE", None)
    assert [known.name for known in records.people.users()] == ["Grace"]


@pytest.mark.parametrize("name", ["", "a b", "-a", "a" * 40, "x.git", "../x", "Settings", "ä"])
def test_what_is_no_name_is_refused(records: Records, name: str) -> None:
    with pytest.raises(errors.WrongUse):
        records.people.add(name, None)


def test_only_the_first_administrator_is_trusted(records: Records) -> None:
    assert not records.people.add("guest", None).trusted
    first = records.people.add("first", None, admin=True)
    second = records.people.add("second", None, admin=True)
    assert (first.trusted, second.trusted) == (True, False)


def test_an_account_changes_but_the_last_administrator_stays(records: Records) -> None:
    only = records.people.add("only", None, admin=True)
    changed = records.profiles.change(replace(only, language="zh", trusted=False))
    assert records.profiles.get(only.id) == changed == replace(only, language="zh", trusted=False)
    with pytest.raises(errors.Conflict):
        records.profiles.change(replace(only, admin=False))
    records.people.add("other", None, admin=True)
    assert not records.profiles.change(replace(only, admin=False)).admin
    with pytest.raises(errors.NotFound):
        records.profiles.change(User(999, "nobody"))


def test_a_right_password_opens_and_a_wrong_one_does_not(records: Records) -> None:
    user = records.people.add("grace", "pass wörd")
    records.people.add("silent", None)
    for _ in range(2):
        assert records.people.check_password("Grace", "pass wörd") == user
        assert records.people.check_password("grace", "pass word") is None
    assert records.people.check_password("silent", "") is None
    assert records.people.check_password("nobody", "pass wörd") is None
    assert records.people.check_password("grace", "x" * 5000) is None
    assert records.people.check_password("grace", "\ud800") is None


@pytest.mark.parametrize("password", ["", "seven77", "x" * 1025, "\ud800" * 9])
def test_a_password_must_be_one(records: Records, password: str) -> None:
    with pytest.raises(errors.WrongUse):
        records.people.add("grace", password)


def test_a_new_password_forgets_the_old_one_at_once_and_in_every_process(records: Records, url: str) -> None:
    user = records.people.add("grace", "old words")
    assert records.people.check_password("grace", "old words")
    session = records.sessions.start(user.id, seconds=100)
    elsewhere = open_records(url)
    elsewhere.profiles.set_password(user.id, "new words")
    elsewhere.close()
    assert records.people.check_password("grace", "old words") is None
    assert records.people.check_password("grace", "new words") == user
    assert records.sessions.check(session) is None
    records.profiles.set_password(user.id, None)
    assert records.people.check_password("grace", "new words") is None
    with pytest.raises(errors.NotFound):
        records.profiles.set_password(999, "new words")


def test_a_verdict_is_remembered_so_that_the_second_request_is_quick(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.people.add("grace", "a secret")
    records.people.check_password("grace", "a secret")
    monkeypatch.setattr("argon2.PasswordHasher.verify", lambda *_: pytest.fail("argon2 was asked again"))
    for _ in range(20):
        assert records.people.check_password("grace", "a secret")


@ONLY_SQLITE
def test_nobody_learns_a_password_from_the_file(records: Records, tmp_path: Path) -> None:
    user = records.people.add("grace", "very secret word")
    _, secret = records.people.add_token(user.id, "laptop", ["read"])
    session = records.sessions.start(user.id, seconds=100)
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("refmill.db*"))
    assert b"grace" in stored
    for word in ("very secret word", secret, session):
        assert word.encode() not in stored
    assert {path.stat().st_mode & 0o077 for path in tmp_path.glob("refmill.db*")} == {0}
