"""What `refmill demo` does, step by step, as a user would: real git, real dvc, a running platform.

The working copies lie in the demo's data directory. A second demo finds them, changes one parameter and pushes again:
it shows what a cache is for.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from refmill import errors
from refmill.texts import Text, text

HERE = Path(__file__).parent
DATASET, PIPELINE = "biopsies", "tumours"
COMMAND_SECONDS = 600.0
"""How long one git or dvc command of the demo may take; a slow disk and a first import are in it."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the demo plays: the platform's address, who plays, with which token, and where the working copies lie."""

    address: str
    user: str
    token: str
    place: Path
    tell: Callable[[Text], None]

    def url(self, name: str, ending: str = ".git") -> str:
        """A repository's address."""
        return f"{self.address}/{self.user}/{name}{ending}"

    def environment(self) -> Mapping[str, str]:
        """An environment for git and dvc with a home of the demo's own, so that nobody's settings are touched."""
        home = self.place / "home"
        home.mkdir(parents=True, exist_ok=True)
        netrc = home / ".netrc"
        host = re.sub(r"^https?://|[:/].*$", "", self.address)
        _write_private(netrc, f"machine {host} login {self.user} password {self.token}\n")
        scheme, _, rest = self.address.partition("://")
        _write_private(home / "git-credentials", f"{scheme}://{self.user}:{self.token}@{rest}\n")
        _write_private(home / ".gitconfig", _git_config(self.user, self.address, home / "git-credentials"))
        scripts = Path(sys.executable).parent
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "DVC_", "XDG_"))},
            "HOME": str(home), "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "DVC_NO_ANALYTICS": "1", "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "NETRC": str(netrc),
        }  # fmt: skip

    def run(self, *command: str, at: str) -> str:
        """Run a command in a working copy and give what it printed. Raises Unavailable with its last lines."""
        done = subprocess.run(
            command, cwd=self.place / at, env=self.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=COMMAND_SECONDS, check=False,
        )  # fmt: skip
        if done.returncode:
            last = "\n".join(done.stdout.splitlines()[-15:])
            raise errors.Unavailable(text("“%(command)s” failed:\n%(output)s", command=" ".join(command), output=last))
        return done.stdout


def push_dataset(stage: Stage, python: Path) -> None:
    """Make the table, track it with DVC, push the repository and the data, tag it v1."""
    place = stage.place / DATASET
    if (place / ".git").is_dir():
        return
    stage.tell(text("a dataset: %(name)s, tracked with DVC", name=DATASET))
    _lay(HERE / "dataset", place)
    stage.run("git", "init", "--quiet", "--initial-branch=main", at=DATASET)
    stage.run("dvc", "init", "--quiet", at=DATASET)
    stage.run("dvc", "remote", "add", "--quiet", "--default", "refmill", stage.url(DATASET, ".dvc"), at=DATASET)
    stage.run(str(python), "make_table.py", "table.csv", at=DATASET)
    stage.run("dvc", "add", "--quiet", "table.csv", at=DATASET)
    stage.run("git", "add", "--all", at=DATASET)
    stage.run("git", "commit", "--quiet", "--message", "The table, tracked with DVC", at=DATASET)
    stage.run("git", "tag", "v1", at=DATASET)
    stage.run("git", "remote", "add", "origin", stage.url(DATASET), at=DATASET)
    stage.run("git", "push", "--quiet", "origin", "main", "v1", at=DATASET)
    stage.run("dvc", "push", "--quiet", at=DATASET)


def push_pipeline(stage: Stage) -> str:
    """Push the pipeline (the first time: make it and import the table at v1; later: with a parameter changed)."""
    place = stage.place / PIPELINE
    if (place / ".git").is_dir():
        stage.run("git", "remote", "set-url", "origin", stage.url(PIPELINE), at=PIPELINE)
        old, new = _turn(place / "params.yaml")
        stage.tell(text("a change: params.yaml, train.forest.depth %(old)s → %(new)s", old=old, new=new))
        stage.run("git", "commit", "--quiet", "--all", "--message", f"Forest with depth {new}", at=PIPELINE)
    else:
        stage.tell(text("a pipeline: %(name)s, which imports the table at v1", name=PIPELINE))
        _lay(HERE / "pipeline", place)
        stage.run("git", "init", "--quiet", "--initial-branch=main", at=PIPELINE)
        stage.run("dvc", "init", "--quiet", at=PIPELINE)
        stage.run("dvc", "remote", "add", "--quiet", "--default", "refmill", stage.url(PIPELINE, ".dvc"), at=PIPELINE)
        (place / "data").mkdir()
        stage.run("dvc", "import", "--quiet", stage.url(DATASET), "table.csv", "--rev", "v1", "-o", "data/table.csv",
                  at=PIPELINE)  # fmt: skip
        stage.run("git", "add", "--all", at=PIPELINE)
        stage.run("git", "commit", "--quiet", "--message", "Four models on the table", at=PIPELINE)
        stage.run("git", "remote", "add", "origin", stage.url(PIPELINE), at=PIPELINE)
    return stage.run("git", "push", "origin", "main", at=PIPELINE)


def _lay(source: Path, target: Path) -> None:
    """Copy a template; `gitignore` there is .gitignore here, so that it does not rule in our own repository."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    if (target / "gitignore").exists():
        (target / "gitignore").rename(target / ".gitignore")


def _turn(params: Path) -> tuple[int, int]:
    """Give the forest another depth: 6, 7, 8, … in turn."""
    lines = params.read_text(encoding="utf-8").splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if number and "depth:" in line)
    old = int(lines[at].partition(":")[2])
    new = old + 1 if old < 12 else 2
    lines[at] = lines[at].replace(str(old), str(new))
    params.write_text("".join(lines), encoding="utf-8")
    return old, new


def _git_config(user: str, address: str, store: Path) -> str:
    return (
        f"[user]\n\tname = {user}\n\temail = {user}@localhost\n[commit]\n\tgpgsign = false\n"
        f'[credential "{address}"]\n\thelper = store --file={store}\n'
    )


def _write_private(path: Path, content: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
