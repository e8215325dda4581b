"""What `refmill repo` answers, and what it refuses."""

import json
from pathlib import Path

import pytest


@pytest.fixture
def mine(alice):
    assert alice("repo", "add", "alice/mine", "--description", "what it is for").code == 0
    return alice


def test_a_list_shows_what_a_repository_is_for(mine) -> None:
    assert "what it is for" in mine("repo", "list").out


def test_a_change_tells_what_is_different_and_where(mine, here: Path) -> None:
    assert mine("repo", "change", "alice/mine", "--public").out == "public: no → yes\n"
    assert mine("repo", "change", "alice/mine", "--public").out == "alice/mine was so already\n"
    assert "git:" not in mine("repo", "change", "alice/mine", "--name", "other").out
    (here / "refmill-data" / "run").mkdir()
    (here / "refmill-data" / "run" / "address.json").write_text('{"address": "http://localhost:1", "pid": 1}')
    said = mine("repo", "change", "alice/other", "--name", "third").out
    assert "name: alice/other → alice/third\n" in said
    assert "git: http://localhost:1/alice/third.git\nDVC: http://localhost:1/alice/third.dvc\n" in said
    assert json.loads(mine("repo", "change", "alice/third", "--private", "--json").out)["git"].endswith("/third.git")


def test_the_network_can_be_taken_from_a_repository(mine) -> None:
    assert mine("repo", "change", "alice/mine", "--no-network").out == "network: yes → no\n"
    assert "no network" in mine("repo", "list").out
    assert [item["network"] for item in json.loads(mine("repo", "list", "--json").out)] == [False]
    assert mine("repo", "change", "alice/mine", "--network").out == "network: no → yes\n"
    assert "no network" not in mine("repo", "list").out


def test_a_former_name_is_said_to_be_one_and_deletes_nothing(mine) -> None:
    mine("repo", "change", "alice/mine", "--name", "other")
    listed = mine("runs", "alice/mine")
    assert listed.code == 0
    assert "alice/mine is called alice/other now" in listed.err
    refused = mine("repo", "delete", "alice/mine", "--yes")
    assert refused.code == 2
    assert "alice/other" in refused.err
    assert "alice/other" in mine("repo", "list").out


def test_an_empty_repository_may_wait_for_any_branch(mine) -> None:
    assert mine("repo", "change", "alice/mine", "--default-branch", "trunk").code == 0


def test_a_role_that_is_taken_back_is_told_so(mine) -> None:
    mine("user", "add", "bob", "--password-stdin", stdin="battery staple\n")
    assert "bob has the role “write” in alice/mine" in mine("repo", "grant", "alice/mine", "bob", "write").out
    assert mine("repo", "grant", "alice/mine", "bob", "none").out == "bob has no role in alice/mine any more\n"


def test_no_deletes_nothing_and_is_no_error_in_red(mine) -> None:
    done = mine("repo", "delete", "alice/mine", stdin="n\n")
    assert (done.code, done.err) == (1, "nothing was deleted\n")
    assert mine("repo", "delete", "alice/mine").code == 2
    assert "alice/mine" in mine("repo", "list").out


@pytest.mark.parametrize(
    ("command", "remedy"),
    [
        (["repo", "change", "alice/nosuch", "--public"], "refmill repo list"),
        (["repo", "add", "nobody/mine"], "refmill user list"),
        (["runs", "alice/nosuch"], "refmill repo list"),
        (["show", "alice/mine#7"], "refmill runs alice/mine"),
        (["logs", "aaaaaaaaaaaaaaaaaaaa"], "refmill runs"),
        (["stop", "alice/nosuch#1"], "refmill repo list"),
        (["runs", "--limit", "0"], "--limit"),
        (["runs", "--limit", "-3"], "--limit"),
        (["runs", "alice"], "OWNER/NAME"),
        (["repo", "change", "alice/mine"], "refmill repo change --help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_does_not_exist_is_wrong_use_and_the_command_that_lists_it_is_named(
    mine, command: list[str], remedy: str
) -> None:
    done = mine(*command)
    assert (done.code, done.out) == (2, "")
    assert remedy in done.err
