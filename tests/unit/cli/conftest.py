"""The command line in this process, on data directories of its own."""

import io
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from refmill_web import cli


@dataclass
class Done:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


Refmill = Callable[..., Done]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: an empty one; no variable names another."""
    for name in [name for name in os.environ if name.startswith("REFMILL_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def refmill(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refmill:
    """`refmill ARGUMENTS` with a pipe as its standard input."""

    def call(*arguments: str, stdin: str = "") -> Done:
        monkeypatch.setattr(sys, "argv", ["refmill", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return call


@pytest.fixture
def alice(refmill: Refmill) -> Refmill:
    """The same with an administrator called alice in ./refmill-data."""
    assert refmill("user", "add", "alice", "--admin", "--password-stdin", stdin="correct horse\n").code == 0
    return refmill
