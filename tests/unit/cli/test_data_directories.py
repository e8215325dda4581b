"""Where no platform has ever been, only `up`, `demo` and `user add` make one."""

from pathlib import Path

import pytest

COMMANDS = [
    ("runs",), ("show", "ada/mine#1"), ("logs", "ada/mine#1"), ("stop", "ada/mine#1"), ("retry", "ada/mine#1"),
    ("user", "list"), ("user", "password", "ada"), ("user", "remove", "ada"), ("token", "add", "ada"),
    ("token", "list", "ada"), ("token", "revoke", "ada", "1"), ("repo", "list"),
    ("repo", "change", "ada/mine", "--public"), ("repo", "grant", "ada/mine", "bob", "read"),
    ("repo", "delete", "ada/mine"),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_makes_no_platform_where_there_is_none(refmill, here: Path, command: tuple[str, ...]) -> None:
    done = refmill(*command)
    assert (done.code, done.out) == (2, "")
    assert "there is no platform in ./refmill-data" in done.err
    assert "Name it with --data DIR, or export REFMILL_DATA=DIR." in done.err
    assert list(here.iterdir()) == []


def test_a_mistyped_directory_is_named_and_not_made(refmill, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there is no platform in ./refmil" in refmill("runs", "--data", "refmil").err
    monkeypatch.setenv("REFMILL_DATA", str(here.parent / "elsewhere"))
    assert f"there is no platform in {here.parent / 'elsewhere'}" in refmill("runs").err
    assert not (here.parent / "elsewhere").exists()


def test_the_first_user_makes_the_directory_and_says_so(refmill, here: Path) -> None:
    first = refmill("user", "add", "alice", "--password-stdin", stdin="correct horse\n")
    assert (first.code, first.out) == (0, "user alice added\n")
    assert "made a new data directory ./refmill-data" in first.err
    second = refmill("user", "add", "bob", "--password-stdin", stdin="battery staple\n")
    assert (second.code, second.err) == (0, "")
    assert refmill("runs").code == 0


def test_what_cannot_name_a_user_makes_no_directory(refmill, here: Path) -> None:
    assert refmill("user", "add", "a b", "--password-stdin", stdin="correct horse\n").code == 2
    assert refmill("user", "add", "alice").code == 2
    assert list(here.iterdir()) == []


def test_help_names_the_variable(refmill) -> None:
    for command in (["runs"], ["user", "add"], ["repo", "list"], ["up"]):
        assert "REFMILL_DATA" in refmill(*command, "--help").out


@pytest.mark.parametrize("place", ["/proc/foo", "file/below"])
def test_a_directory_that_cannot_be_made_is_wrong_use(refmill, here: Path, place: str) -> None:
    (here / "file").touch()
    done = refmill("user", "add", "alice", "--password-stdin", "--data", place, stdin="correct horse\n")
    assert done.code == 2
    assert "cannot be made" in done.err
    assert "--data DIR" in done.err
