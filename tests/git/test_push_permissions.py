"""Who gets in, and what somebody reads who does not."""

from pathlib import Path

import pytest

from fakes.git_hosting import Client, Hosting


@pytest.fixture
def pushed(git: Client, hosting: Hosting, work: Path) -> Path:
    git("push", "-q", hosting.url("alice/churn"), "main", cwd=work)
    return work


def test_without_credentials_git_is_asked_for_them(git: Client, hosting: Hosting, pushed: Path) -> None:
    said = git("ls-remote", hosting.url("alice/churn", user=""), fails=True)
    assert "could not read Username" in said


@pytest.mark.parametrize("command", ["ls-remote", "push"])
def test_a_wrong_password_stays_outside(git: Client, hosting: Hosting, pushed: Path, command: str) -> None:
    refspec = ["main"] if command == "push" else []
    said = git(command, hosting.url("alice/churn", password="wrong"), *refspec, cwd=pushed, fails=True)
    assert "Authentication failed" in said
    assert len(hosting.listener.pushes) == 1


def test_a_public_repository_is_read_by_all_and_written_by_few(git: Client, hosting: Hosting, pushed: Path) -> None:
    hosting.gate.public.add("alice/churn")
    assert "refs/heads/main" in git("ls-remote", hosting.url("alice/churn", user=""))
    assert "could not read Username" in git("push", hosting.url("alice/churn", user=""), "main", cwd=pushed, fails=True)


def test_somebody_who_is_forbidden_reads_why(git: Client, hosting: Hosting, pushed: Path) -> None:
    hosting.gate.closed.add("alice/churn")
    said = git("push", hosting.url("alice/churn", user="bob"), "main", cwd=pushed, fails=True)
    assert "remote: you may not use alice/churn" in said
    assert "remote: Ask its owner." in said
    assert "error: 403" in said


def test_what_is_not_there_is_not_found(git: Client, hosting: Hosting, pushed: Path) -> None:
    said = git("clone", hosting.url("alice/nothing"), fails=True)
    assert "remote: there is no alice/nothing" in said
    assert "not found" in said


def test_a_push_creates_only_under_the_own_name(git: Client, hosting: Hosting, pushed: Path) -> None:
    git("push", hosting.url("alice/Second"), "main", cwd=pushed)
    assert "there is no bob/mine" in git("push", hosting.url("bob/mine"), "main", cwd=pushed, fails=True)
    assert set(hosting.gate.ids) == {"alice/churn", "alice/second"}
