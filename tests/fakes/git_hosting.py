"""A git client with a home of its own, and the git server in a thread of the test."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from werkzeug.serving import WSGIRequestHandler, make_server

from fakes.git_gate import PASSWORD, PasswordGate, Recorder
from refmill_repos.smart_http import GitHTTP


@dataclass(frozen=True)
class Client:
    """Git as a person has it: own home, own name, no prompts."""

    home: Path

    def __call__(
        self, *arguments: str | Path, cwd: Path | None = None, fails: bool = False, options: Sequence[str] = ()
    ) -> str:
        """Run git and give its output and its errors together; it must succeed, or fail if `fails`."""
        done = self.outcome(*arguments, cwd=cwd, options=options)
        assert (done.returncode != 0) == fails, done.stdout
        return done.stdout

    def outcome(
        self, *arguments: str | Path, cwd: Path | None = None, options: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run git, whatever comes of it."""
        flags = [flag for option in options for flag in ("-c", option)]
        return subprocess.run(
            ["git", *flags, *map(str, arguments)], cwd=cwd or self.home, env=self.environment, text=True,
            errors="replace", check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, timeout=100,
        )  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        names = {f"GIT_{role}_{part}": "alice" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **names}

    def commit(self, folder: Path, files: dict[str, str | bytes], message: str = "work") -> str:
        """Write files, commit them all, give the sha."""
        if not (folder / ".git").exists():
            self("init", "-q", "-b", "main", folder)
        for name, data in files.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data if isinstance(data, bytes) else data.encode())
        self("add", "-A", cwd=folder)
        self("commit", "-q", "--allow-empty", "-m", message, cwd=folder)
        return self("rev-parse", "HEAD", cwd=folder).strip()


class QuietHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
        pass


@dataclass(frozen=True)
class Hosting:
    """The running server."""

    port: int
    root: Path
    gate: PasswordGate
    listener: Recorder

    def url(self, full_name: str, user: str = "alice", password: str = PASSWORD) -> str:
        """The address of a repository, with credentials."""
        secret = password.replace(":", "%3A").replace(" ", "%20")
        login = f"{user}:{secret}@" if user else ""
        return f"http://{login}127.0.0.1:{self.port}/{full_name}.git"

    def bare(self, full_name: str) -> Path:
        """Where the repository lies."""
        return self.gate.store.path(self.gate.ids[full_name])


@contextmanager
def serving(root: Path) -> Iterator[Hosting]:
    """The git server on a free port, with each request in a thread of its own."""
    gate, listener = PasswordGate(root), Recorder()
    app = GitHTTP(gate=gate, listener=listener, root=root, push_limit=16 << 20)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=QuietHandler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield Hosting(server.port, root, gate, listener)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
