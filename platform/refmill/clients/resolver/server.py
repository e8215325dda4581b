"""The resolver: forks a child with limits for each request, so that no file can hurt more than its own push.

The rule to keep: the parent reads nothing that came from a repository, has one thread, and holds no database and no
open repository that a child could inherit.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from refmill import errors
from refmill.clients import codec, dvc_parsing
from refmill.clients.resolver import frames
from refmill.clients.resolver.warming import SAMPLE, MemoryTree
from refmill.ports.resolver import Source
from refmill.ports.trees import Tree

_OUT_OF_MEMORY, _FAILED = 3, 4
_REQUEST_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one child may use: bytes of its own memory, seconds of CPU and of the clock; and how many children."""

    memory: int = 1 << 30
    cpu: int = 10
    wall: float = 20.0
    children: int = 8


@dataclass(slots=True)
class _Child:
    connection: socket.socket
    deadline: float
    overdue: bool = False


class Server:
    """One listening socket and the children at work. `run` returns after SIGTERM or SIGINT."""

    def __init__(
        self, path: Path, open_tree: Callable[[Source], Tree], max_stages: int, *, limits: Limits, containers: bool
    ) -> None:
        self._path = path
        self._open_tree = open_tree
        self._max_stages = max_stages
        self._limits = limits
        self._containers = containers
        self._children: dict[int, _Child] = {}
        self._ended = False

    def run(self, ready: Callable[[], None] | None = None) -> None:
        """Serve until told to end."""
        _warm(self._max_stages)
        with self._listener() as listener, _signals(self._end) as wakeup, selectors.DefaultSelector() as selector:
            selector.register(wakeup, selectors.EVENT_READ)
            if ready is not None:
                ready()
            listening = False
            while not self._ended:
                wanted = len(self._children) < self._limits.children
                if wanted and not listening:
                    selector.register(listener, selectors.EVENT_READ)
                elif listening and not wanted:
                    selector.unregister(listener)
                listening = wanted
                for key, _ in selector.select(self._patience()):
                    if key.fileobj is wakeup:
                        _drain(wakeup)
                    else:
                        self._accept(listener)
                self._reap()
        self._kill_all()

    def _end(self, *_: object) -> None:
        self._ended = True

    def _listener(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        beside = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        beside.unlink(missing_ok=True)
        listener.bind(str(beside))
        beside.chmod(0o600)
        listener.listen(128)
        listener.setblocking(False)
        beside.replace(self._path)
        return listener

    def _patience(self) -> float | None:
        """Seconds until a child has had its time."""
        if not self._children:
            return None
        return max(min(child.deadline for child in self._children.values()) - time.monotonic(), 0.0)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        pid = os.fork()
        if pid == 0:
            self._work(connection)
        self._children[pid] = _Child(connection, time.monotonic() + self._limits.wall)

    def _reap(self) -> None:
        now = time.monotonic()
        for pid, child in list(self._children.items()):
            if now >= child.deadline and not child.overdue:
                child.overdue = True
                os.kill(pid, signal.SIGKILL)
            done, status = os.waitpid(pid, 0 if child.overdue else os.WNOHANG)
            if done:
                del self._children[pid]
                _conclude(child, os.waitstatus_to_exitcode(status))

    def _kill_all(self) -> None:
        for pid, child in self._children.items():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            child.connection.close()
        self._children.clear()

    def _work(self, connection: socket.socket) -> NoReturn:
        """The child: never returns, runs no exit handlers of the parent."""
        status = _FAILED
        try:
            _confine(connection, self._limits)
            status = self._answer(connection)
        except MemoryError:
            status = _OUT_OF_MEMORY
        except BaseException:  # noqa: BLE001 - the outermost frame of this process
            with contextlib.suppress(BaseException):
                traceback.print_exc(limit=20)
        finally:
            with contextlib.suppress(BaseException):
                sys.stderr.flush()
            os._exit(status)

    def _answer(self, connection: socket.socket) -> int:
        try:
            kind, body = frames.receive(connection, time.monotonic() + _REQUEST_SECONDS)
        except (OSError, EOFError):
            return 0
        if kind != b"S":
            return _FAILED
        try:
            tree = self._open_tree(codec.from_json(Source, body))
        except errors.RefmillError as error:
            frames.send(connection, b"E", str(error.message).encode())
            return 0
        checked = dvc_parsing.check(tree, max_stages=self._max_stages, containers=self._containers)
        connection.settimeout(_REQUEST_SECONDS)
        with contextlib.suppress(OSError):
            frames.send(connection, b"A", codec.to_json(checked).encode("utf-8", "surrogatepass"))
        return 0


def serve(
    socket_path: Path, open_tree: Callable[[Source], Tree], max_stages: int, *, limits: Limits | None = None,
    containers: bool = False, ready: Callable[[], None] | None = None,
) -> None:  # fmt: skip
    """Serve on the unix socket at `socket_path` until SIGTERM; `ready` is called when requests are taken.

    `open_tree` opens the files of a source, in the child. Must run in a process with a single thread.
    """
    Server(socket_path, open_tree, max_stages, limits=limits or Limits(), containers=containers).run(ready)


def _conclude(child: _Child, code: int) -> None:
    """Say why there is no answer; where the child gave one, the client no longer listens."""
    reason = b""
    if child.overdue or code == -signal.SIGXCPU:
        reason = b"time"
    elif code in (_OUT_OF_MEMORY, -signal.SIGKILL):
        reason = b"memory"
    elif code:
        reason = b"crash"
    with child.connection as connection:
        if reason:
            connection.setblocking(False)
            with contextlib.suppress(OSError):
                frames.send(connection, b"L", reason)


def _confine(connection: socket.socket, limits: Limits) -> None:
    """Keep nothing of the parent's but the standard streams and `connection`; set the limits."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    kept = connection.fileno()
    os.closerange(3, kept)
    os.closerange(kept + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    # RLIMIT_DATA counts what a process makes, not the packs of a repository that it maps to read; elsewhere than on
    # Linux it counts too little, so that the whole address space is limited there.
    memory = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    for what, soft, hard in (
        (memory, limits.memory, limits.memory),
        (resource.RLIMIT_CPU, limits.cpu, limits.cpu + 2),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (soft, hard))
    gc.set_threshold(100_000, 50, 100)


def _warm(max_stages: int) -> None:
    """Import and use everything once, so that children find it done; then keep the collector off it."""
    checked = dvc_parsing.check(MemoryTree(SAMPLE), max_stages=max_stages)
    codec.from_json(type(checked), codec.to_json(checked))
    codec.from_json(Source, codec.to_json(Source(Path())))
    gc.collect()
    gc.freeze()


@contextlib.contextmanager
def _signals(end: Callable[..., Any]) -> Iterator[socket.socket]:
    """Signals as something to select on: SIGCHLD only wakes, SIGTERM and SIGINT call `end`."""
    wakeup, writer = socket.socketpair()
    wakeup.setblocking(False)
    writer.setblocking(False)
    before = {
        number: signal.signal(number, handler)
        for number, handler in ((signal.SIGCHLD, lambda *_: None), (signal.SIGTERM, end), (signal.SIGINT, end))
    }
    old = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    try:
        yield wakeup
    finally:
        signal.set_wakeup_fd(old)
        for number, handler in before.items():
            signal.signal(number, handler)
        wakeup.close()
        writer.close()


def _drain(wakeup: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        while wakeup.recv(4096):
            pass
