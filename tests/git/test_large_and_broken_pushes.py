"""Under gunicorn, as in real life: large bodies in bounded memory, and clients that go away in the middle."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes.git_gate import basic
from fakes.git_hosting import Client, Hosting

MIB = 1 << 20


@dataclass
class Gunicorn:
    port: int
    worker: int
    root: Path

    def url(self, full_name: str) -> str:
        return f"http://alice:s3cret%3Awith%20colon@127.0.0.1:{self.port}/{full_name}.git"

    def peak(self) -> int:
        """The worker's peak resident memory in bytes."""
        status = Path(f"/proc/{self.worker}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]

    def leftovers(self) -> list[Path]:
        """Quarantines and half-written packs."""
        return [*self.root.glob("*.git/objects/tmp_*"), *self.root.glob("*.git/objects/pack/tmp_*")]


@pytest.fixture
def gunicorn(tmp_path: Path) -> Iterator[Gunicorn]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        port = listening.getsockname()[1]
        environment = os.environ | {
            "GIT_TEST_ROOT": str(tmp_path / "repos"),
            "GIT_TEST_LIMIT": str(256 * MIB),
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parent.parent)]),
        }
        command = [sys.executable, "-m", "gunicorn", "--bind", f"fd://{listening.fileno()}"]
        command += [
            "--worker-class",
            "gthread",
            "--threads",
            "16",
            "--log-level",
            "warning",
            "--no-control-socket",
            "gunicorn_app:application",
        ]
        log = (tmp_path / "gunicorn.log").open("wb")
        server = subprocess.Popen(command, env=environment, pass_fds=[listening.fileno()], stdout=log, stderr=log)
        try:
            yield Gunicorn(port, _worker(server.pid), tmp_path / "repos")
        finally:
            server.terminate()
            server.wait(30)
            log.close()
    assert "Traceback" not in (tmp_path / "gunicorn.log").read_text()


def _worker(pid: int) -> int:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            if children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                return int(children[0])
        time.sleep(0.05)
    raise AssertionError("gunicorn did not start")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.slow
def test_two_hundred_megabytes_go_through_in_bounded_memory(git: Client, gunicorn: Gunicorn, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"{number}.bin": os.urandom(40 * MIB) for number in range(5)}
    # Cheap for the client, so that the server is what is measured.
    options = ["core.compression=0", "core.bigFileThreshold=1m", "http.postBuffer=65536"]
    git("init", "-q", "-b", "main", tmp_path / "work")
    git("config", "core.compression", "0", cwd=tmp_path / "work")
    git("config", "core.bigFileThreshold", "1m", cwd=tmp_path / "work")
    git.commit(tmp_path / "work", files)
    git("ls-remote", gunicorn.url("alice/none"), fails=True)
    before = gunicorn.peak()
    git("push", "-q", gunicorn.url("alice/large"), "main", cwd=tmp_path / "work", options=options)
    git("clone", "-q", "--no-checkout", gunicorn.url("alice/large"), tmp_path / "clone", options=options)
    assert git("rev-parse", "HEAD", cwd=tmp_path / "clone") == git("rev-parse", "HEAD", cwd=tmp_path / "work")
    assert gunicorn.peak() - before < 16 * MIB


def test_a_chunked_push_larger_than_git_holds_in_memory(git: Client, gunicorn: Gunicorn, tmp_path: Path) -> None:
    git.commit(tmp_path / "work", {"data.bin": os.urandom(3 * MIB)})
    said = git(
        "push", "-v", gunicorn.url("alice/chunked"), "main", cwd=tmp_path / "work", options=["http.postBuffer=65536"]
    )
    assert "POST git-receive-pack (chunked)" in said
    assert "main -> main" in said


def test_clients_that_go_away_leave_nothing_behind(git: Client, gunicorn: Gunicorn, tmp_path: Path) -> None:
    sha = git.commit(tmp_path / "work", {"data.bin": os.urandom(4 * MIB)})
    git("push", "-q", gunicorn.url("alice/broken"), f"{sha}:refs/heads/first", cwd=tmp_path / "work")
    sha = git.commit(tmp_path / "work", {"more.bin": os.urandom(4 * MIB)})
    body = _push_body(tmp_path / "work", sha)
    for sent in (40, 200, 70_000, MIB, len(body) - 30):
        _abort(gunicorn.port, "/alice/broken.git/git-receive-pack", body[:sent], len(body))
    _settled(gunicorn)
    assert gunicorn.leftovers() == []
    assert "main" not in git("ls-remote", gunicorn.url("alice/broken"))
    git("push", "-q", gunicorn.url("alice/broken"), "main", cwd=tmp_path / "work")


def test_a_clone_that_is_broken_off_ends_its_git(git: Client, gunicorn: Gunicorn, tmp_path: Path) -> None:
    git("init", "-q", "-b", "main", tmp_path / "work")
    git("config", "core.compression", "0", cwd=tmp_path / "work")
    git.commit(tmp_path / "work", {"data.bin": os.urandom(30 * MIB)})
    git("push", "-q", gunicorn.url("alice/large"), "main", cwd=tmp_path / "work")
    sha = git("rev-parse", "HEAD", cwd=tmp_path / "work").strip()
    want = f"0032want {sha}\n00000009done\n".encode()
    _abort(gunicorn.port, "/alice/large.git/git-upload-pack", want, len(want), take=1000)
    _settled(gunicorn)


def test_a_push_above_the_limit_is_refused_in_words(git: Client, hosting: Hosting, tmp_path: Path) -> None:
    git.commit(tmp_path / "big", {"data.bin": os.urandom(17 * MIB)})
    said = git("push", hosting.url("alice/big"), "main", cwd=tmp_path / "big", fails=True)
    assert "remote: fatal: pack exceeds maximum allowed size" in said
    assert "! [remote rejected] main -> main" in said


def _push_body(work: Path, sha: str) -> bytes:
    """What git sends to create refs/heads/main at `sha`."""
    line = f"{'0' * 40} {sha} refs/heads/main\0 report-status side-band-64k".encode()
    pack = subprocess.run(
        ["git", "pack-objects", "--stdout", "--revs", "-q"], cwd=work, input=f"{sha}\n".encode(),
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    return f"{len(line) + 4:04x}".encode() + line + b"0000" + pack


def _abort(port: int, path: str, sent: bytes, length: int, take: int = 0) -> None:
    """Send a request of `length` bytes, but only `sent`; read `take` bytes of the answer; reset the connection."""
    service = path.rpartition("/")[2]
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {basic('alice')}\r\nContent-Length: {length}\r\n"
        f"Content-Type: application/x-{service}-request\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(head.encode() + sent)
        client.recv(take) if take else time.sleep(0.1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def _settled(gunicorn: Gunicorn) -> None:
    """Until the worker has no git child any more."""
    children = Path(f"/proc/{gunicorn.worker}/task")
    until = time.monotonic() + 20
    while any(task.joinpath("children").read_text().strip() for task in children.iterdir()):
        assert time.monotonic() < until, "git still lives"
        time.sleep(0.05)
