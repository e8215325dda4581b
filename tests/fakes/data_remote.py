"""The data remote under gunicorn, as `refmill up` serves it, with a gate of two users; and DVC as a person has it."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, Literal

from refmill import errors
from refmill.clients.directory_store import DirectoryStore
from refmill.texts import text
from refmill_web.remote import DataRemote

PASSWORD = "right"
LIMIT = 4 << 20
_ROOT = "DATA_REMOTE_ROOT"


@dataclass(frozen=True)
class Admitted:
    repository_id: str
    run: str = ""


class TwoUsers:
    """Ann may read and write ann/data and ann/models, bob may read ann/data; nobody else is known."""

    def admit(self, owner: str, name: str, service: Literal["read", "write"], authorization: str | None) -> Admitted:
        if authorization is None:
            raise errors.Unauthorized(text("sign in"))
        user, _, password = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        if user not in ("ann", "bob") or password != PASSWORD:
            raise errors.Unauthorized(text("wrong user name or password"))
        if (owner, name) not in {("ann", "data"), ("ann", "models")} or (user == "bob" and name != "data"):
            raise errors.NotFound(text("there is no such repository"))
        if user == "bob" and service == "write":
            raise errors.Forbidden(text("bob may only read"))
        return Admitted(f"id-{name}")


def app() -> Any:
    """What gunicorn serves: the remote over the directory in the environment, with a log of what happens."""
    root = Path(os.environ[_ROOT])

    def log(name: str, line: str) -> None:
        with (root / name).open("a") as file:
            file.write(line + "\n")

    remote = DataRemote(
        TwoUsers(),
        lambda name: DirectoryStore(root / "r" / name),
        lambda *what: log("arrived", " ".join(what)),
        limit=LIMIT,
    )

    def logged(environ: Any, start_response: Any) -> Any:
        log("requests", f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        return remote(environ, start_response)

    return logged


@dataclass(frozen=True)
class Remote:
    """The running remote."""

    root: Path
    port: int

    def url(self, name: str = "data") -> str:
        return f"http://127.0.0.1:{self.port}/ann/{name}.dvc"

    def objects(self, name: str = "data") -> set[str]:
        """Names of all files of a repository's store, whatever they are."""
        store = self.root / "r" / f"id-{name}"
        return {str(path.relative_to(store)) for path in store.rglob("*") if path.is_file()}

    def lines(self, name: str) -> list[str]:
        """The lines of the log `arrived` or `requests`."""
        path = self.root / name
        return path.read_text().splitlines() if path.exists() else []

    def ask(
        self, method: str, path: str, body: Any = None, *, user: str = "ann", password: str = PASSWORD, **headers: str
    ) -> tuple[HTTPResponse, bytes]:
        """One request to a path below /ann/data.dvc (or from the root, if it begins with a slash)."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        login = {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()} if user else {}
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            where = path if path.startswith("/") else f"/ann/data.dvc/{path}"
            connection.request(method, where, body, login | sent, encode_chunked=hasattr(body, "__next__"))
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()


@contextmanager
def serving_data(root: Path) -> Iterator[Remote]:
    """The remote in a process of its own."""
    root.mkdir(parents=True, exist_ok=True)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        number = listener.fileno()
        worker = "refmill_web.processes.worker.LingeringWorker"
        options = ["--worker-class", worker, "--threads", "8", "--log-level", "warning", "--bind", f"fd://{number}"]
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *options, "--worker-tmp-dir", str(root), "fakes.data_remote:app()"],
            env=os.environ | {_ROOT: str(root), "PYTHONPATH": os.pathsep.join(sys.path)},
            pass_fds=[number],
        )
        remote = Remote(root, listener.getsockname()[1])
        try:
            _await(remote)
            yield remote
        finally:
            process.terminate()
            process.wait(20)


def _await(remote: Remote) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            remote.ask("GET", "files/md5")
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the remote does not answer")


@dataclass(frozen=True)
class Person:
    """Somebody with a home and a ~/.netrc, who uses the real `git` and `dvc`."""

    home: Path

    def __call__(self, *command: str | Path, at: Path, fails: bool = False) -> str:
        """Run a command and give what it prints; it must succeed, or fail if `fails`."""
        names = {f"GIT_{role}_{part}": "ann" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
        done = subprocess.run(
            list(map(str, command)), cwd=at, env=os.environ | names | {"HOME": str(self.home)}, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=100,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, done.stdout
        return done.stdout

    def sign_in(self, user: str, password: str = PASSWORD) -> None:
        """Store credentials where DVC takes them from."""
        netrc = self.home / ".netrc"
        netrc.write_text(f"machine 127.0.0.1 login {user} password {password}\n")
        netrc.chmod(0o600)

    def project(self, path: Path, url: str) -> Path:
        """A git and DVC repository with a committed remote and no credentials in it."""
        (path / ".dvc").mkdir(parents=True)
        (path / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
        (path / ".dvc" / "config").write_text(
            f"[core]\n    remote = refmill\n    check_update = false\n['remote \"refmill\"']\n    url = {url}\n"
        )
        self("git", "init", "-q", "-b", "main", at=path)
        return path
