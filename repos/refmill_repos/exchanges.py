"""One request to a git service: the body goes into the child from a thread while the child's output goes out.

Learnt by measuring: feeding first and reading afterwards deadlocks as soon as both pipes are full; a receive-pack that
is killed, or loses its output, leaves its quarantine behind. So when the client goes away its input is closed and its
output drained until it has cleaned up and ended. It is told to end (SIGTERM, upon which it cleans up) only where it
unpacks for too long, and killed only where that does not help; `writers` takes away what is left then.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from refmill import errors
from refmill_repos import children, guards, unpacking, writers
from refmill_repos.bodies import PIECE, Body, BrokenOff
from refmill_repos.commands import Head
from refmill_repos.hooks.channel import HookChannel

_FATAL = 128
"""The exit code of git's `die`."""
_log = logging.getLogger("refmill.git")


@dataclass(frozen=True, slots=True)
class Incoming:
    """What a push has that a fetch has not: its head, the hooks' other end, and the `turn` in which it is unpacked."""

    head: Head
    channel: HookChannel
    turn: Callable[[], AbstractContextManager[None]]


class Exchange:
    """A running git service of the repository at `place`, which lies in `root`; iterate for its output, `close` in any
    case. Raises NotFound, Unavailable."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], body: Body | None, *,
        root: Path, place: Path, push: Incoming | None = None,
    ) -> None:  # fmt: skip
        self._body, self._push, self._place = body, push, place
        self._closed = self._drained = False
        self.broken: Exception | None = None
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the exchange
        hooks = push.channel.fds if push else ()
        try:
            with guards.held(root) as fd, self._guarded() as own:
                self._child = subprocess.Popen(
                    command, stdin=subprocess.PIPE if body else subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=self._words, env=dict(environment), cwd="/", pass_fds=(fd, *own, *hooks), bufsize=0,
                    start_new_session=True,  # Ctrl-C in the server's terminal must not strike a push
                )  # fmt: skip
        except (OSError, errors.RefmillError) as error:
            self._words.close()
            if push:
                push.channel.abandon()
            if isinstance(error, OSError):
                raise children.no_git() from error
            raise
        if push:
            unpacking.bound(self._child.pid)
            push.channel.start()
        self._feeder = threading.Thread(target=self._feed, name="git-body", daemon=True)
        self._feeder.start()
        self.first = self._read()
        """The first piece of output, b"" if there is none at all."""

    def __iter__(self) -> Iterator[bytes]:
        piece = self.first
        while piece:
            yield piece
            piece = self._read()

    def close(self) -> None:
        """Wait for the child's end; one that only reads is killed if its output is not wanted any more."""
        if self._closed:
            return
        self._closed = True
        if self._push is None and not self._drained:
            self._signal(signal.SIGKILL)
        while self._read():
            pass
        self._child.wait()
        self._feeder.join()
        if self._push:
            self._push.channel.join()
            patience = writers.PATIENCE if self.killed else 0.0
            writers.ended(self._place, well=self._child.returncode == 0, patience=patience)
        if self._child.stdout:
            self._child.stdout.close()
        if self._child.returncode > 0 or self.broken:
            _log.info("git ended with %s: %s %s", self._child.returncode, self.words(), self.broken or "")
        self._words.close()

    def failed(self) -> bool:
        """Whether the child or the body ended badly; to be asked when there was no output at all."""
        code = self._child.wait()
        self._feeder.join()
        return code != 0 or self.broken is not None

    def gave_up(self) -> bool:
        """Whether git ended by itself and called it fatal, as it does for what it cannot understand."""
        return self._child.wait() == _FATAL

    @property
    def killed(self) -> bool:
        """Whether a signal ended the child; to be asked once it is over."""
        return (self._child.returncode or 0) < 0

    def words(self) -> str:
        """What git wrote to its standard error, cut."""
        self._words.seek(0)
        return self._words.read(2000).decode(errors="replace").strip()

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[tuple[int, ...]]:
        """What a push has to hold beside what every git child holds."""
        if self._push is None:
            yield ()
        else:
            with writers.begun(self._place) as fd:
                yield (fd,)

    def _read(self) -> bytes:
        piece = os.read(self._child.stdout.fileno(), PIECE) if self._child.stdout else b""
        self._drained = not piece
        return piece

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, number)

    def _feed(self) -> None:
        """The feeding thread: the body into git; what git does not want any more is read and dropped."""
        if self._body is None or self._child.stdin is None:
            return
        try:
            with self._child.stdin as stdin:
                if self._push:
                    self._unpack(self._push, self._body, stdin)
                else:
                    for piece in self._body:
                        view = memoryview(piece)
                        while view:
                            view = view[stdin.write(view) or 0 :]
        except BrokenPipeError:
            pass  # git has ended, and its output says why
        except (BrokenOff, errors.RefmillError) as error:
            self.broken = error
        except OSError as error:
            self.broken = errors.of_disk(error) or error
        self._body.drain()

    def _unpack(self, push: Incoming, body: Body, stdin: IO[bytes]) -> None:
        """A push into git, its end not before all of it is there, and until git asks about it. Raises BrokenOff,
        BrokenPipeError, OSError, LimitExceeded, Unavailable."""
        pipe, held = unpacking.Pipe(stdin.fileno()), deque[bytes]()
        with contextlib.ExitStack() as turn:
            try:
                for piece in push.head.passed(body):
                    held.append(piece)
                    if not body.small and len(held) > 1:
                        pipe.write(held.popleft())
                turn.enter_context(push.turn())
                for piece in held:
                    pipe.write(piece)
                stdin.close()
                pipe.wait(push.channel.heard)
            except unpacking.TookTooLong:
                self._signal(signal.SIGTERM)
                if not push.channel.heard(unpacking.GRACE):
                    self._signal(signal.SIGKILL)
                raise
