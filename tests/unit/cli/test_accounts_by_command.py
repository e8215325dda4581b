"""Accounts and tokens by command: names that are taken, new passwords, removal, tokens one by one."""

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from platforms import REFMILL
from refmill import settings
from refmill_web import places


def records(here: Path):
    return places.records(settings.load({"data": here / "refmill-data"}))


def test_a_taken_name_is_told_before_the_password_is_asked_for(alice) -> None:
    done = alice("user", "add", "Alice")
    assert (done.code, done.out) == (1, "")
    assert "The name “Alice” is taken." in done.err
    assert "user list" in done.err


def test_at_a_terminal_a_short_password_is_asked_for_again_and_none_is_shown(here: Path) -> None:
    ours, theirs = pty.openpty()
    command = [REFMILL, "user", "add", "alice"]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, cwd=here
    ) as process:
        os.close(theirs)
        said = b""
        for prompt, answer in ((b"alice: ", b"seven77"), (b"alice: ", b"correct horse"), (b"more: ", b"correct horse")):
            part = b""
            while prompt not in part:
                part += os.read(ours, 1000)
            os.write(ours, answer + b"\n")
            said += part
        assert process.wait(30) == 0
    said += os.read(ours, 1000)
    os.close(ours)
    assert b"at least 8 characters" in said
    assert b"user alice added" in said
    assert b"horse" not in said
    kept = records(here)
    assert kept.people.check_password("alice", "correct horse")
    kept.close()


def test_without_a_terminal_the_pipe_is_named(alice) -> None:
    for command in (["user", "add", "bob"], ["user", "password", "alice"]):
        done = alice(*command)
        assert (done.code, done.out) == (2, "")
        assert "--password-stdin" in done.err


def test_a_short_password_is_refused_and_an_old_one_keeps_working(alice, here: Path) -> None:
    done = alice("user", "add", "bob", "--password-stdin", stdin="seven77\n")
    assert done.code == 2
    assert "A password has at least 8 characters." in done.err
    assert "bob" not in alice("user", "list").out


def test_a_new_password_ends_sessions_and_spares_tokens(alice, here: Path) -> None:
    kept = records(here)
    user = kept.people.find("alice")
    session = kept.sessions.start(user.id, seconds=100)
    token = alice("token", "add", "alice").out.strip()
    done = alice("user", "password", "ALICE", "--password-stdin", stdin="horse correct\r\n")
    assert (done.code, done.err) == (0, "")
    assert kept.people.check_password("alice", "correct horse") is None
    assert kept.people.check_password("alice", "horse correct") == user
    assert kept.sessions.check(session) is None
    assert kept.people.check_token(token)
    kept.close()


def test_an_owner_stays_until_the_repositories_are_gone(alice, here: Path) -> None:
    assert alice("user", "add", "bob", "--password-stdin", stdin="battery staple\n").code == 0
    kept = records(here)
    mine = kept.catalogue.add("alice", "mine")
    kept.catalogue.add("bob", "one")
    kept.catalogue.add("bob", "two")
    bob = kept.people.find("bob")
    kept.members.grant(mine.id, bob.id, "write")
    token, session = alice("token", "add", "bob").out.strip(), kept.sessions.start(bob.id, seconds=100)

    done = alice("user", "remove", "bob", "--yes")
    assert done.code == 1
    assert "bob/one, bob/two" in done.err
    for name in ("one", "two"):
        assert alice("repo", "delete", f"bob/{name}", "--yes").code == 0
    declined = alice("user", "remove", "bob", stdin="n\n")
    assert (declined.code, declined.err) == (1, "nobody was removed\n")
    assert alice("user", "remove", "bob").code == 2
    assert kept.people.check_token(token)

    assert alice("user", "remove", "bob", stdin="y\n").code == 0
    assert kept.people.find("bob") is None
    assert kept.people.check_token(token) is None
    assert kept.sessions.check(session) is None
    assert kept.members.members(mine.id) == []
    kept.close()


def test_the_last_administrator_stays(alice) -> None:
    done = alice("user", "remove", "alice", "--yes")
    assert done.code == 1
    assert "last administrator" in done.err


def test_tokens_are_listed_and_revoked_one_by_one(alice, here: Path) -> None:
    first = alice("token", "add", "alice", "--label", "laptop", "--scope", "read").out.strip()
    second = alice("token", "add", "alice", "--label", "server").out.strip()
    listed = json.loads(alice("token", "list", "alice", "--json").out)
    assert [(item["label"], item["scopes"]) for item in listed] == [("server", ["read", "write"]), ("laptop", ["read"])]
    table = alice("token", "list", "alice").out
    assert "laptop" in table
    assert first not in table
    assert alice("token", "revoke", "alice", str(listed[1]["id"])).code == 0
    kept = records(here)
    assert kept.people.check_token(first) is None
    assert kept.people.check_token(second)
    kept.close()
    again = alice("token", "revoke", "alice", str(listed[1]["id"]))
    assert again.code == 2
    assert "refmill token list" in again.err


@pytest.mark.parametrize(
    "command", [["token", "list"], ["token", "add"], ["user", "password"], ["user", "remove"]], ids=" ".join
)
def test_an_unknown_user_is_wrong_use(alice, command: list[str]) -> None:
    done = alice(*command, "nobody")
    assert done.code == 2
    assert "there is no user nobody" in done.err
    assert "refmill user list" in done.err


def test_rights_are_given_and_taken_one_by_one_and_one_administrator_stays(alice, here: Path) -> None:
    assert alice("user", "add", "bob", "--password-stdin", stdin="correct horse\n").code == 0
    assert alice("user", "change", "bob", "--trusted").code == 0
    kept = records(here)
    bob = kept.people.find("bob")
    assert bob is not None
    assert (bob.trusted, bob.admin) == (True, False)
    kept.close()
    last = alice("user", "change", "alice", "--no-admin")
    assert last.code == 1
    assert "admin" in last.err
    assert alice("user", "change", "bob", "--admin", "--not-trusted").code == 0
    assert alice("user", "change", "alice", "--no-admin").code == 0
    assert alice("user", "change", "bob").code == 2
