"""The parent: lock, clean, migrate, start the children, start again what dies, stop everything in order."""

from __future__ import annotations

import errno
import json
import logging
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import astuple, dataclass, field, fields, replace
from types import FrameType, TracebackType
from typing import Any, Self

from refmill import errors
from refmill.settings import Settings
from refmill.texts import Text, text
from refmill_web import places, wiring
from refmill_web.processes import holding
from refmill_web.processes.child import SETTINGS
from refmill_web.processes.doorkeeper import Doorkeeper
from refmill_web.processes.holding import Hold

LOG = logging.getLogger(__name__)
ORDER = ("resolver", "engine", "web")
START_SECONDS = 60.0
"""How long a child may take until it works; imports on a cold disk take ten."""
STOP_SECONDS = 15.0
FULL = 1 << 18
"""Bytes; with less left on the disk, what goes wrong at a start does so for want of room."""
QUICK = 5.0
"""A child that lived shorter than this waits a second before it is started again, so that a fault does not spin."""


@dataclass(slots=True)
class Child:
    """One child process and when it was started."""

    name: str
    process: subprocess.Popen[bytes]
    ready: int
    since: float = field(default_factory=time.monotonic)


class Platform(AbstractContextManager["Platform"]):
    """A running platform. Entering it starts everything and returns when all parts are ready; leaving it stops them. A
    standby waits for its turn first, and tells `waiting` of each reason, with its address."""

    def __init__(
        self, settings: Settings, *, quiet: bool = False, waiting: Callable[[str, Text], None] = lambda *_: None
    ) -> None:
        self._settings, self._quiet, self._waiting = settings, quiet, waiting
        self._children: dict[str, Child] = {}
        self._hold: Hold | None = None
        self._socket: socket.socket | None = None
        self._stopping = False

    @property
    def address(self) -> str:
        """Where people reach it, without a slash at the end."""
        return self._settings.url.rstrip("/") or f"http://{_host(self._settings.host)}:{self._settings.port}"

    @property
    def settings(self) -> Settings:
        """The settings in force, with the port that is really listened on."""
        return self._settings

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        """Start everything; returns when all parts are ready. Raises Conflict, Unavailable, WrongUse."""
        places.make(self._settings)
        try:
            if self._settings.standby:
                listener = self._listen()
                with Doorkeeper(listener, self._settings.lease_seconds):
                    self._hold = holding.wait(self._settings, self._told)
                    self._prepare(self._hold)
            else:
                self._hold = holding.take(self._settings)
                self._listen()
                self._prepare(self._hold)
            for name in ORDER:
                self._children[name] = self._start(name)
            for child in self._children.values():
                self._await(child)
        except (OSError, errors.Unavailable) as error:
            self.close()
            raise self._explained(error) from error
        except BaseException:
            self.close()
            raise

    def _explained(self, error: OSError | errors.Unavailable) -> Exception:
        """That error, or the disk where that is its cause: SQLite, for one, says little of a full one."""
        if shutil.disk_usage(self._settings.data).free < FULL:
            error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(self._settings.data))
        return (errors.of_disk(error) if isinstance(error, OSError) else None) or error

    def _listen(self) -> socket.socket:
        self._socket = _listen(self._settings)
        self._settings = replace(self._settings, port=self._socket.getsockname()[1])
        return self._socket

    def _prepare(self, hold: Hold) -> None:
        hold.keep(self._kill)
        wiring.prepare(self._settings, self.address, hold.fence)

    def _told(self, why: Text) -> None:
        LOG.warning("stands by at %s: %s", self.address, why)
        self._waiting(self.address, why)

    def _kill(self) -> None:
        """End all children at once, with what they have started: each leads a group."""
        for child in list(self._children.values()):
            with suppress(ProcessLookupError):
                os.killpg(child.process.pid, signal.SIGKILL)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def watch(self, until: Callable[[], bool] = lambda: False) -> None:
        """Keep the children alive until `until()` holds or SIGTERM comes."""
        signal.signal(signal.SIGTERM, self._stop)
        while not self._stopping and not until():
            time.sleep(0.2)
            self.mend()

    def mend(self) -> None:
        """Start dead children again."""
        for name, child in self._children.items():
            code = child.process.poll()
            if code is None:
                continue
            LOG.error("%s ended with %s and is started again", name, code)
            if time.monotonic() - child.since < QUICK:
                time.sleep(1)
            self._children[name] = self._start(name)
            os.close(self._children[name].ready)

    def close(self) -> None:
        """Stop the children, the web first so that nothing new comes in; running stages go on by themselves."""
        for name in reversed(ORDER):
            if (child := self._children.pop(name, None)) and child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
                try:
                    child.process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    child.process.kill()
                    child.process.wait()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._hold is not None:
            self._hold.close()
            self._hold = None

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _start(self, name: str) -> Child:
        reading, writing = os.pipe()
        listening = self._socket.fileno() if self._socket is not None else -1
        fence, term = (self._hold.fence, self._hold.term) if self._hold is not None else (None, None)
        handed: dict[str, Any] = {
            "settings": {item.name: getattr(self._settings, item.name) for item in fields(Settings)},
            "parent": os.getpid(), "ready": writing, "socket": listening, "address": self.address,
            "fence": astuple(fence) if fence is not None else None,
            "lease": astuple(term) if term is not None else None,
        }  # fmt: skip
        environment = os.environ | {SETTINGS: json.dumps(handed, default=str)}
        inherited = [writing, *([listening] if name == "web" else [])]
        inherited += [self._hold.bond] if self._hold is not None else []
        inherited += [term.descriptor] if term is not None else []
        with self._settings.path("run", f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"refmill_web.processes.{name}"], env=environment, stdin=subprocess.DEVNULL,
                stdout=log if self._quiet else None, stderr=log if self._quiet else None,
                pass_fds=inherited, start_new_session=True,
            )  # fmt: skip
        os.close(writing)
        return Child(name, process, reading)

    def _await(self, child: Child) -> None:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if select.select([child.ready], [], [], 0.1)[0]:
                told = os.read(child.ready, 1)
                os.close(child.ready)
                if told:
                    return
                break
        raise errors.Unavailable(
            text("the part “%(name)s” of the platform did not start", name=child.name),
            text("Its log says why: %(log)s", log=str(self._settings.path("run", f"{child.name}.log"))),
        )


def _listen(settings: Settings) -> socket.socket:
    """The listening socket, taken before anything starts, so that its port is known and a taken one is told clearly."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(256)
    except OSError as error:
        listener.close()
        raise errors.Conflict(
            text(
                "%(host)s:%(port)s cannot be listened on: %(detail)s",
                host=settings.host,
                port=settings.port,
                detail=error.strerror or str(error),
            ),
            text("Choose another port with --port, or 0 for any free one."),
        ) from error
    return listener


def _host(host: str) -> str:
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        return "localhost"
    return f"[{host}]" if ":" in host else host
