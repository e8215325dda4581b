"""The resolver: a child with limits for each request, so that no file can hurt more than its own push.

The rule to keep: the parent reads nothing that came from a repository, has one thread, and holds no database and no
open repository that a child could inherit. Children are forked before they are needed: a fork and the first touch of
its pages take longer than the work on a small project.
"""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refmill.clients.resolver import frames
from refmill.clients.resolver.children import (
    OUT_OF_MEMORY,
    Further,
    Limits,
    Task,
    nothing_further,
    rehearse,
    work,
)
from refmill.clients.sockets import address
from refmill.model.placement import Allowed
from refmill.ports.resolver import Source
from refmill.ports.trees import Tree


@dataclass(slots=True)
class _Busy:
    """A child at work: its end of the client's connection, and until when it may take."""

    connection: socket.socket
    deadline: float
    overdue: bool = False


class Server:
    """One listening socket, the children at work and those that stand ready. `run` returns after SIGTERM or SIGINT."""

    def __init__(self, path: Path, task: Task, limits: Limits) -> None:
        self._path = path
        self._task = task
        self._limits = limits
        self._busy: dict[int, _Busy] = {}
        self._ready: dict[int, socket.socket] = {}
        self._ended = False

    def run(self, ready: Callable[[], None] | None = None) -> None:
        """Serve until told to end."""
        rehearse(self._task.max_stages)
        gc.collect()
        gc.freeze()
        with self._listener() as listener, _signals(self._end) as wakeup, selectors.DefaultSelector() as selector:
            selector.register(wakeup, selectors.EVENT_READ)
            self._refill()
            if ready is not None:
                ready()
            listening = False
            while not self._ended:
                wanted = len(self._busy) < self._limits.children
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
        self._end_all()

    def _end(self, *_: object) -> None:
        self._ended = True

    def _listener(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        beside = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        beside.unlink(missing_ok=True)
        with address(beside.parent, beside.name) as place:
            listener.bind(place)
        beside.chmod(0o600)
        listener.listen(128)
        listener.setblocking(False)
        beside.replace(self._path)
        return listener

    def _patience(self) -> float | None:
        """Seconds until a child has had its time."""
        if not self._busy:
            return None
        return max(min(child.deadline for child in self._busy.values()) - time.monotonic(), 0.0)

    def _refill(self) -> None:
        """Fork until enough children stand ready; at least one does then."""
        while len(self._ready) < max(self._limits.spare, 1):
            ours, theirs = socket.socketpair()
            pid = os.fork()
            if pid == 0:
                work(theirs, self._task, self._limits)
            theirs.close()
            self._ready[pid] = ours

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        if not self._ready:
            self._refill()
        pid, control = self._ready.popitem()
        with control, contextlib.suppress(BrokenPipeError, ConnectionResetError):  # then it is dead, and reaped below
            socket.send_fds(control, [b"x"], [connection.fileno()])
        self._busy[pid] = _Busy(connection, time.monotonic() + self._limits.wall)

    def _reap(self) -> None:
        now = time.monotonic()
        for pid, child in list(self._busy.items()):
            if now >= child.deadline and not child.overdue:
                child.overdue = True
                os.kill(pid, signal.SIGKILL)
            done, status = os.waitpid(pid, 0 if child.overdue else os.WNOHANG)
            if done:
                del self._busy[pid]
                _conclude(child, os.waitstatus_to_exitcode(status))
        for pid, control in list(self._ready.items()):
            done, _ = os.waitpid(pid, os.WNOHANG)
            if done:  # somebody killed it while it waited
                control.close()
                del self._ready[pid]
        if not self._busy:  # while one works, the machine is for it
            self._refill()

    def _end_all(self) -> None:
        for control in self._ready.values():
            control.close()
        for pid in (*self._busy, *self._ready):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for child in self._busy.values():
            child.connection.close()
        self._busy.clear()
        self._ready.clear()


def serve(
    socket_path: Path, open_tree: Callable[[Source], Tree], max_stages: int, *, limits: Limits | None = None,
    containers: bool = False, allowed: Allowed | None = None, further: Further = nothing_further,
    ready: Callable[[], None] | None = None,
) -> None:  # fmt: skip
    """Serve on the unix socket at `socket_path` until SIGTERM; `ready` is called when requests are taken.

    `open_tree` opens the files of a source, in the child, and `further` tells what else is wrong with them. Must run in
    a process with a single thread.
    """
    task = Task(
        open_tree=open_tree, max_stages=max_stages, containers=containers, allowed=allowed, further=further
    )  # fmt: skip
    Server(socket_path, task, limits or Limits()).run(ready)


def _conclude(child: _Busy, code: int) -> None:
    """Say why there is no answer; where the child gave one, the client no longer listens."""
    reason = b""
    if child.overdue or code == -signal.SIGXCPU:
        reason = b"time"
    elif code == OUT_OF_MEMORY:
        reason = b"memory"
    elif code == -signal.SIGKILL:
        reason = b"killed"
    elif code:
        reason = b"crash"
    with child.connection as connection:
        if reason:
            connection.setblocking(False)
            with contextlib.suppress(OSError):
                frames.send(connection, b"L", reason)


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
