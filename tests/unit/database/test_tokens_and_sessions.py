"""Personal tokens and web sessions."""

import re

import pytest

from fakes.record_values import Clock
from refmill import errors
from refmill.clients.database import Records
from refmill.model.people import User


def test_a_token_is_its_secret_and_nothing_else(records: Records, ann: User) -> None:
    token, secret = records.people.add_token(ann.id, "laptop", ["write", "read"])
    assert re.fullmatch(r"rfm_[A-Za-z0-9_-]{43}", secret)
    assert records.people.check_token(secret) == (ann, frozenset({"read", "write"}))
    assert (token.label, token.scopes, token.last_used) == ("laptop", frozenset({"read", "write"}), None)
    for wrong in (secret[:-1], secret + "A", secret.upper(), "", "rfm_", "rfm_" + "A" * 43, "\ud800" * 47):
        assert records.people.check_token(wrong) is None


def test_a_token_ends_when_its_time_is_over(records: Records, ann: User, clock: Clock) -> None:
    _, secret = records.people.add_token(ann.id, "ci", ["read"], expires=clock.time + 60_000_000)
    assert records.people.check_token(secret)
    clock.pass_seconds(61)
    assert records.people.check_token(secret) is None


def test_a_revoked_token_opens_nothing(records: Records, ann: User) -> None:
    token, secret = records.people.add_token(ann.id, "laptop", ["read"])
    other = records.people.add("bob", None)
    with pytest.raises(errors.NotFound):
        records.profiles.revoke(other.id, token.id)
    assert records.people.check_token(secret)
    records.profiles.revoke(ann.id, token.id)
    assert records.people.check_token(secret) is None
    assert records.profiles.tokens(ann.id) == []


def test_a_tokens_use_is_noted_once_a_minute(records: Records, ann: User, clock: Clock) -> None:
    _, secret = records.people.add_token(ann.id, "laptop", ["read"])

    def last_used() -> int | None:
        return records.profiles.tokens(ann.id)[0].last_used

    records.people.check_token(secret)
    first = last_used()
    clock.pass_seconds(50)
    records.people.check_token(secret)
    assert last_used() == first
    clock.pass_seconds(11)
    records.people.check_token(secret)
    assert (last_used() or 0) - (first or 0) > 60_000_000


def test_a_token_needs_known_scopes_and_an_owner(records: Records, ann: User) -> None:
    for scopes in ([], ["read", "root"]):
        with pytest.raises(errors.WrongUse):
            records.people.add_token(ann.id, "x", scopes)  # type: ignore[arg-type]
    with pytest.raises(errors.NotFound):
        records.people.add_token(999, "x", ["read"])


def test_tokens_are_listed_newest_first(records: Records, ann: User) -> None:
    for label in ("one", "two"):
        records.people.add_token(ann.id, label, ["read"])
    assert [token.label for token in records.profiles.tokens(ann.id)] == ["two", "one"]


def test_a_session_lasts_until_its_end_or_sign_out(records: Records, ann: User, clock: Clock) -> None:
    short = records.sessions.start(ann.id, seconds=100)
    long = records.sessions.start(ann.id, seconds=1000)
    assert records.sessions.check(short) == ann
    clock.pass_seconds(101)
    assert records.sessions.check(short) is None
    assert records.sessions.check(long) == ann
    records.sessions.end(long)
    assert records.sessions.check(long) is None
    for wrong in ("", "x" * 100, "ä", "\ud800"):
        assert records.sessions.check(wrong) is None
        records.sessions.end(wrong)


def test_signing_out_everywhere_ends_every_session_of_that_person(records: Records, ann: User) -> None:
    bob = records.people.add("bob", None)
    mine = [records.sessions.start(ann.id, seconds=100) for _ in range(3)]
    theirs = records.sessions.start(bob.id, seconds=100)
    assert records.sessions.end_all(ann.id) == 3
    assert [records.sessions.check(secret) for secret in mine] == [None] * 3
    assert records.sessions.check(theirs) == bob
    with pytest.raises(errors.NotFound):
        records.sessions.start(999, seconds=100)
