"""A real `refmill up` for tests: started as a command, reached over HTTP, ended (or killed) as a process."""

import atexit
import contextlib
import functools
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy

from warm import Warm

REFMILL = str(Path(sys.executable).with_name("refmill"))
DVC = str(Path(sys.executable).with_name("dvc"))
SECONDS = 60.0
OVER = {"succeeded", "failed", "stopped", "superseded", "nothing"}
"""What a run is that has ended."""


def wait(until: Callable[[], Any], what: str = "what is waited for", seconds: float = SECONDS) -> Any:
    """What `until` gives as soon as it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := until():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


_STATUS = """
SELECT runs.status FROM runs JOIN repositories ON repository_id = repositories.id JOIN users ON owner_id = users.id
WHERE users.name = ? AND repositories.name = ? AND runs.number = ?
"""


@dataclass
class Platform:
    """The platform in `data`. `start` and `kill` may be called again and again."""

    data: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None
    address: str = ""
    tokens: dict[str, str] = field(default_factory=dict)
    sandbox: str = "off"
    database: str = ""

    def start(self, *flags: str) -> "Platform":
        """`refmill up`, until it says that it is ready."""
        return self._launch(*flags).is_up()

    def stand_by(self, *flags: str) -> "Platform":
        """`refmill up --standby` where another one has the data directory, until it says that it waits."""
        self.address = self._launch("--standby", *flags)._says()["standby"]
        return self

    def is_up(self) -> "Platform":
        """It has said that it is ready; a standby may have waited before."""
        while "address" not in (said := self._says()):
            pass
        self.address = said["address"]
        return self

    def _says(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        assert line, self.log()
        return json.loads(line)

    def _launch(self, *flags: str) -> "Platform":
        with (self.data.parent / "up.log").open("a") as log:
            self.process = subprocess.Popen(
                [REFMILL, "up", "--data", str(self.data), "--port", "0", "--json", "--sandbox", self.sandbox, *flags],
                stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | self.environment,
            )  # fmt: skip
        return self

    def choose(self, settings: dict[str, str]) -> "Platform":
        """Write settings into refmill.toml."""
        self.data.mkdir(parents=True, exist_ok=True)
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in settings.items()]
        (self.data / "refmill.toml").write_text("".join(lines))
        return self

    def log(self) -> str:
        """What the platform's processes said."""
        return (self.data.parent / "up.log").read_text()

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        self._close()
        with contextlib.suppress(OSError):  # what a kill kept it from doing itself, or there is none
            for parent in control_groups_of(self):
                parent.rmdir()

    def kill(self) -> None:
        """SIGKILL to the parent; its children die with it."""
        self.process.kill()
        self.process.wait()
        self._close()

    def _close(self) -> None:
        if self.process and self.process.stdout:
            self.process.stdout.close()

    def refmill(self, *arguments: str, stdin: str = "", check: bool = True, both: bool = False) -> str:
        """A command on the data directory; with `both` also what it says to stderr."""
        command = [REFMILL, *arguments, "--data", str(self.data)]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=False, env=os.environ | self.environment
        )
        assert not check or done.returncode == 0, done.stderr + done.stdout
        return done.stdout + done.stderr if both else done.stdout

    def doctor(self) -> dict[str, dict[str, Any]]:
        """What `refmill doctor` finds, by name."""
        return {item["name"]: item for item in json.loads(self.refmill("doctor", "--json", check=False))}

    def user(self, name: str, *flags: str) -> str:
        """A user of that name with the password `secret-NAME`; gives a token."""
        if name not in self.tokens:
            self.refmill("user", "add", name, "--password-stdin", *flags, stdin=f"secret-{name}\n")
            self.tokens[name] = self.refmill("token", "add", name).strip()
        return self.tokens[name]

    def chooses(self, name: str, language: str) -> None:
        """Let a user have chosen a language in their settings."""
        database = sqlite3.connect(self.data / "refmill.db")
        try:
            database.execute("UPDATE users SET language = ? WHERE name = ?", (language, name))
            database.commit()
        finally:
            database.close()

    def url(self, repository: str, user: str | None = None, ending: str = ".git") -> str:
        """A repository's address, with a user's token in it (only tests put it there)."""
        if user is None:
            return f"{self.address}/{repository}{ending}"
        scheme, _, rest = self.address.partition("://")
        return f"{scheme}://{user}:{self.user(user)}@{rest}/{repository}{ending}"

    def runs(self, repository: str) -> list[dict[str, Any]]:
        """`refmill runs --json`, newest first."""
        done = _ready().run(
            ["runs", repository, "--json", "--limit", "1000", "--data", str(self.data)], self.data.parent
        )
        assert done.code == 0, done.stderr + done.stdout
        return json.loads(done.stdout)

    def query(self, statement: str, *values: Any) -> list[Any]:
        """What the database says; to ask by a command takes longer than most of the runs."""
        if self.database:
            return self._query(statement, values)
        database = sqlite3.connect(f"file:{self.data / 'refmill.db'}?mode=ro", uri=True)
        try:
            return database.execute(statement, values).fetchall()
        finally:
            database.close()

    def _query(self, statement: str, values: tuple[Any, ...]) -> list[Any]:
        """The same of a database server."""
        engine = sqlalchemy.create_engine(self.database)
        for number in range(len(values)):
            statement = statement.replace("?", f":v{number}", 1)
        try:
            with engine.connect() as connection:
                named = {f"v{number}": value for number, value in enumerate(values)}
                return [tuple(row) for row in connection.execute(sqlalchemy.text(statement), named)]
        finally:
            engine.dispose()

    def ended(self, repository: str, number: int = 1, seconds: float = SECONDS) -> dict[str, Any]:
        """The run as soon as it has ended."""

        def over() -> bool:
            rows = self.query(_STATUS, *repository.split("/"), number)
            return bool(rows) and rows[0][0] in OVER

        wait(over, f"{repository}#{number} ends; {self.log()[-3000:]}", seconds)
        return next(run for run in self.runs(repository) if run["number"] == number)


@functools.cache
def _ready() -> Warm:
    """The `refmill` command without the start of an interpreter, for what is asked again and again."""
    ready = Warm("refmill_web.cli", "main", "refmill_web.cli.runs", "sqlalchemy.dialects.sqlite")
    atexit.register(ready.stop)
    return ready


@dataclass
class Copy:
    """A working copy with git and dvc."""

    path: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command there."""
        done = subprocess.run(
            command, cwd=self.path, capture_output=True, text=True, check=False, env=os.environ | self.environment
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def bytes_of(self, *command: str) -> bytes:
        """What a command there prints, untouched."""
        return subprocess.run(
            command, cwd=self.path, capture_output=True, check=True, env=os.environ | self.environment
        ).stdout

    def git(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """git there."""
        return self.run("git", *arguments, check=check)

    def dvc(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """The real dvc there."""
        return self.run(DVC, *arguments, check=check)

    def write(self, files: dict[str, str]) -> "Copy":
        """Write files."""
        for name, content in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(content)
        return self

    def commit(self, message: str = "a change") -> str:
        """Commit everything; gives the sha."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD").stdout.strip()


def new_copy(path: Path, files: dict[str, str], *, dvc: bool = True) -> Copy:
    """A new working copy with one commit."""
    path.mkdir(parents=True)
    copy = Copy(path)
    copy.git("init", "--quiet", "--initial-branch=main")
    if dvc:
        shutil.copytree(_initialized(), path, dirs_exist_ok=True)
    copy.write(files)
    copy.commit("start")
    return copy


def begun(platform: Platform, folder: Path, repository: str, files: dict[str, str]) -> Copy:
    """The working copy of a repository of alice with one run, which has ended."""
    copy = new_copy(folder / "copy", files)
    copy.git("push", "--quiet", platform.url(repository, "alice"), "main")
    platform.ended(repository)
    return copy


@functools.cache
def _initialized() -> Path:
    """What `dvc init` makes, which is always the same."""
    copy = Copy(Path(tempfile.mkdtemp(dir=os.environ["HOME"])))
    copy.git("init", "--quiet")
    copy.dvc("init", "--quiet")
    shutil.rmtree(copy.path / ".git")
    return copy.path


def parent_of(pid: int) -> int:
    """Raises OSError if there is no such process. Names of processes are bytes, cut anywhere."""
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])


def is_below(pid: int, parent: int) -> bool:
    """Whether a process is one of those that another one started, at whatever distance."""
    while pid > 1:
        pid = parent_of(pid)
        if pid == parent:
            return True
    return False


def alive(platform: Platform, run: str) -> list[int]:
    """The processes that work in the folder of the run with that id, also after it is gone."""
    folder = f"{platform.data.resolve() / 'work' / run}/"
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.readlink(entry / "cwd").startswith(folder):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def control_groups(platform: Platform) -> set[str]:
    """The names of the control groups that stages of the platform have now."""
    return {place.name for parent in control_groups_of(platform) for place in parent.glob("*/")}


def control_groups_of(platform: Platform) -> list[Path]:
    """Where the platform makes control groups for its stages."""
    used = json.loads((platform.data / "run" / "groups.json").read_text())
    return [Path(parent) for parent, _ in used["places"].values()]


def run_of(platform: Platform, repository: str, number: int) -> dict[str, Any]:
    """A run as it stands."""
    return next(run for run in platform.runs(repository) if run["number"] == number)
