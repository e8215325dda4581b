"""Having a data directory: its locks, and with a database server the lease. One server has them; a standby waits.

The locks are the kernel's, and tell at once that a server is dead. They say nothing of other machines where the volume
does not carry them over; there the lease decides, and also over a server that is stopped and so keeps its locks.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from refmill import errors
from refmill.clients import flocks
from refmill.clients.database import Candidate, Leases, Seen
from refmill.engine import machine
from refmill.model.fences import Fence
from refmill.settings import Settings
from refmill.texts import Text, text
from refmill_repos import guards
from refmill_web import places
from refmill_web.processes import fencing
from refmill_web.processes.fencing import Term

LOG = logging.getLogger(__name__)
LEFT_SECONDS = 30.0
"""How long the children of a killed parent may take to end: the kernel ends them at once, but one that waits for a slow
disk ends when the disk has answered."""
RENEWALS = 6.0
"""Renewals in the time of a lease."""
LOOK_SECONDS = 1.0
"""Between two looks of one who waits, at most."""
PLAIN_LOOK = 5.0
"""The same of a server without end, whether another one was told to take its place."""
OVERTAKEN = 75
"""The exit code of a server that ended itself, as sysexits.h has it: try again later."""


class Locks:
    """The data directory's lock, and the one that children of a server inherit as well."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._files = (settings.path("lock"), settings.path("run", "children"))
        settings.path("run").mkdir(parents=True, exist_ok=True)
        self._descriptors = [os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) for path in self._files]
        self._held = [False, False]

    @property
    def bond(self) -> int:
        """The descriptor that children inherit."""
        return self._descriptors[1]

    @property
    def mark(self) -> str:
        """A name of this kernel and this directory: who has the same one, and does not have the locks, is dead. ""
        where there is none to be had."""
        boot, found = machine.boot(), os.fstat(self._descriptors[0])
        return f"{boot} {found.st_dev:x} {found.st_ino:x}" if boot else ""

    def tried(self, patience: float = 0.0) -> bool:
        """Take what is free; True if both are held. The second is waited for. Raises Unavailable on a volume without
        locks."""
        self._held[0] = self._held[0] or self._taken(0, 0.0)
        self._held[1] = self._held[1] or (self._held[0] and self._taken(1, patience))
        return all(self._held)

    def take(self) -> None:
        """Take both. Raises Conflict if another server has them, Unavailable if parts of a killed one do not end."""
        if self.tried(LEFT_SECONDS):
            return
        if not self._held[0]:
            raise errors.Conflict(
                text("another Refmill runs in %(data)s", data=str(self._settings.data)),
                text("Use that one, stop it first, or choose another directory with --data."),
            )
        raise errors.Unavailable(
            text("a part of a platform that was killed still works in %(data)s", data=str(self._settings.data)),
            text("Wait until it ends (`fuser %(file)s` names it), then start again.", file=str(self._files[1])),
        )

    def let_go(self) -> None:
        """Give both back, to take them again later."""
        for descriptor in reversed(self._descriptors):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        self._held = [False, False]

    def close(self) -> None:
        """Give both back for good."""
        for descriptor in reversed(self._descriptors):
            os.close(descriptor)

    def _taken(self, number: int, patience: float) -> bool:
        try:
            return flocks.taken(self._descriptors[number], patience)
        except OSError as error:
            raise errors.Unavailable(
                text(
                    "files cannot be locked in %(data)s: %(detail)s", data=str(self._settings.data),
                    detail=error.strerror or str(error),
                ),
                text("Mount the volume with locks; within one machine they must work at least."),
            ) from error  # fmt: skip


class Hold:
    """What one server has: the locks, and the lease with its number, which is renewed from `keep` on."""

    def __init__(
        self, settings: Settings, locks: Locks, leases: Leases | None, fence: Fence | None, began: float
    ) -> None:  # fmt: skip
        self._settings, self._locks, self._leases = settings, locks, leases
        self.fence = fence
        self.term = Term.new(fence.seconds, began) if fence is not None and fence.seconds else None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="renewal", daemon=True)
        self._end: Callable[[str], None] = _end

    @property
    def bond(self) -> int:
        """The descriptor that children inherit, so that a later server knows whether they live."""
        return self._locks.bond

    def keep(self, kill: Callable[[], None]) -> None:
        """In the main thread: renew the lease from now on. When it is lost, `kill` all children and end this one."""

        def end(why: str) -> None:
            kill()
            _end(why)

        self._end = end
        if self.fence is None:
            return
        if self.term is not None:
            fencing.watch(self.term, lambda: end("the lease could not be renewed in time"))
        self._thread.start()

    def close(self) -> None:
        """Give everything back, once nothing of this server writes any more. Where a git does not end, the lease is
        left to run out."""
        over = self.fence is None or self._is_quiet()
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        if self.term is not None:
            self.term.never_ends()
        if self._leases is not None:
            if self.fence is not None and over:
                with suppress(errors.RefmillError):
                    self._leases.release(self.fence.epoch)
            self._leases.close()
        self._locks.close()

    def _is_quiet(self) -> bool:
        root = self._settings.path("repos")
        try:
            if root.is_dir():
                os.close(guards.alone(root, LEFT_SECONDS))
        except (errors.RefmillError, OSError) as error:
            LOG.warning("the lease is not given back: %s", error)
            return False
        return True

    def _renew(self) -> None:
        """Whatever else goes wrong here ends this thread, and by that the lease."""
        if self._leases is None or self.fence is None:
            return
        pause = self.term.seconds / RENEWALS if self.term is not None else PLAIN_LOOK
        first = self.term is not None  # at once: to take the lease may have taken a good part of it
        while not self._stopping.wait(0 if first else pause):
            first = False
            began = fencing.steady()
            try:
                kept = (self._leases.renew if self.term is not None else self._leases.holds)(self.fence.epoch)
            except errors.RefmillError as error:
                LOG.warning("the lease could not be renewed: %s", error)
                continue
            if not kept:
                self._end("another server has taken over")
            if self.term is not None:
                self.term.extend(began)
            with suppress(errors.RefmillError):
                self._locks.tried()  # of one that was stopped, and has ended since


def take(settings: Settings) -> Hold:
    """Have the data directory. Raises Conflict if another server has it, Unavailable if parts of a killed one do not
    end or the database does not answer."""
    return _acquired(settings, waits=False, told=lambda _: None)


def wait(settings: Settings, told: Callable[[Text], None]) -> Hold:
    """Have the data directory as soon as no other server has it; `told` why it is waited, when that changes. Raises
    WrongUse."""
    last: list[str] = []

    def when_it_changes(why: Text) -> None:
        if str(why) not in last:
            last[:] = [str(why)]
            told(why)

    return _acquired(settings, waits=True, told=when_it_changes)


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Hold the data directory, so that no platform starts meanwhile. Raises Conflict if one runs, and Unavailable if
    parts of a killed one do not end."""
    hold = take(settings)
    try:
        yield
    finally:
        hold.close()


def is_running(settings: Settings) -> bool:
    """Whether a platform runs in that data directory; where its database does not answer, on this machine."""
    locks, leases = Locks(settings), places.leases(settings)
    try:
        if not locks.tried():
            return True
        if leases is None:
            return False
        found = leases.look()
        return bool(found.holder) and (not found.mark or found.mark != locks.mark)
    except errors.Unavailable:
        return False
    finally:
        if leases is not None:
            leases.close()
        locks.close()


def _acquired(settings: Settings, *, waits: bool, told: Callable[[Text], None]) -> Hold:
    leases, locks = places.leases(settings), Locks(settings)
    seconds = settings.lease_seconds if waits else 0.0
    holder = f"{socket.gethostname()}:{os.getpid()}"
    try:
        if not waits:
            locks.take()
        if leases is None:
            _wait_for_locks(locks, told)
            return Hold(settings, locks, None, None, 0.0)
        candidate = Candidate(
            leases, holder=holder, mark=locks.mark, seconds=seconds, waits=waits, steady=fencing.steady
        )
        epoch, began = _wait_for_lease(candidate, locks, seconds, waits=waits, told=told)
        return Hold(settings, locks, leases, Fence(epoch, seconds), began)
    except BaseException:
        if leases is not None:
            leases.close()
        locks.close()
        raise


def _wait_for_locks(locks: Locks, told: Callable[[Text], None]) -> None:
    while not locks.tried():
        told(text("another server has the data directory"))
        time.sleep(LOOK_SECONDS)


def _wait_for_lease(
    candidate: Candidate, locks: Locks, seconds: float, *, waits: bool, told: Callable[[Text], None]
) -> tuple[int, float]:
    """The epoch, and the moment from which the lease is reckoned."""
    while True:
        began = fencing.steady()
        try:
            if epoch := candidate.tried(locks.tried):
                return epoch, began
            if waits:
                locks.let_go()  # while it waits, nobody is kept out
        except errors.Unavailable as error:
            if not waits:
                raise
            told(error.message)
        else:
            told(_why(candidate.seen, waits=waits))
        time.sleep(min(LOOK_SECONDS, (seconds or LOOK_SECONDS) / RENEWALS))


def _why(seen: Seen | None, *, waits: bool) -> Text:
    holder = seen.holder if seen is not None else ""
    if not holder:
        return text("another server has the data directory")
    if seen is not None and not seen.seconds and waits:
        return text(
            "%(holder)s was started without --standby, and has not said that it ended: it is waited for, however long; "
            "if it is dead, start one server without --standby and stop it again",
            holder=holder,
        )
    return text("another server has the lease: %(holder)s", holder=holder)


def _end(why: str) -> None:
    """At once: what is said here may have to wait for whoever reads it."""
    threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
    LOG.critical("%s: this server ends itself", why)
    os._exit(OVERTAKEN)
