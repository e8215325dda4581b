"""Wake-ups between the processes of one installation, over unix datagram sockets in its run/ directory.

The rule to keep: a ring is a hint that may be lost. Ringing never fails and never waits; whoever waits looks into the
records before and after. Every listening process binds `bell-<pid>-<random>.sock`; to ring is to send the topic to
each socket in the directory, and to take away those that nobody listens on any more.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
from collections import OrderedDict
from pathlib import Path

from refmill.clients.sockets import address

_LONGEST_TOPIC = 200  # bytes
_REMEMBERED = 4096  # topics
_RECENT_SECONDS = 2.0


class NullBell:
    """For a process alone: nobody is told, and waiting is only waiting."""

    def ring(self, topic: str) -> None:
        """Do nothing."""

    def wait(self, topics: frozenset[str], timeout: float) -> frozenset[str]:
        """Sleep for `timeout` seconds."""
        time.sleep(max(0.0, timeout))
        return frozenset()


class LocalBell:
    """Rings between the threads of one process.

    A ring between a waiter's look into the records and its `wait` is not lost: `wait` returns at once if a topic rang
    since this thread last returned from waiting for it, or, the first time, within the last two seconds.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rings = 0
        self._last: OrderedDict[str, tuple[int, float]] = OrderedDict()  # topic: (count, time) of its last ring
        self._waiters: dict[str, set[threading.Event]] = {}
        self._thread = threading.local()

    def ring(self, topic: str) -> None:
        """Wake all threads that wait for `topic`."""
        with self._lock:
            self._rings += 1
            self._last[topic] = (self._rings, time.monotonic())
            self._last.move_to_end(topic)
            if len(self._last) > _REMEMBERED:
                self._last.popitem(last=False)
            for waiter in self._waiters.get(topic, ()):
                waiter.set()

    def wait(self, topics: frozenset[str], timeout: float) -> frozenset[str]:
        """Until one of `topics` rings or `timeout` seconds have passed. Gives those that rang."""
        waiter = threading.Event()
        seen: dict[str, int] = getattr(self._thread, "seen", {})
        with self._lock:
            rang = any(self._is_news(topic, seen) for topic in topics)
            if not rang:
                for topic in topics:
                    self._waiters.setdefault(topic, set()).add(waiter)
        if not rang:
            waiter.wait(max(0.0, timeout))
        with self._lock:
            heard = frozenset(topic for topic in topics if self._is_news(topic, seen))
            for topic in topics:
                if waiters := self._waiters.get(topic):
                    waiters.discard(waiter)
                    if not waiters:
                        del self._waiters[topic]
            # Only the topics of the last wait are kept: a server's threads wait for ever new ones.
            self._thread.seen = dict.fromkeys(topics, self._rings)
        return heard

    def _is_news(self, topic: str, seen: dict[str, int]) -> bool:
        count, at = self._last.get(topic, (0, 0.0))
        if count == 0:
            return False
        return count > seen[topic] if topic in seen else time.monotonic() - at < _RECENT_SECONDS


class SocketBell(LocalBell):
    """Rings between all processes that share `directory`. After a fork a process must make its own."""

    def __init__(self, directory: Path, *, listen: bool = True) -> None:
        """`listen=False` suits a process that only rings; its own waits then hear its own rings alone.

        Raises OSError if the directory cannot be made or no socket bound in it.
        """
        super().__init__()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sender.setblocking(False)
        self._name = f"bell-{os.getpid()}-{secrets.token_hex(4)}.sock"
        self._receiver: socket.socket | None = None
        if listen:
            self._receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            with address(directory, self._name) as place:
                self._receiver.bind(place)
            (directory / self._name).chmod(0o600)
            threading.Thread(target=self._receive, args=(self._receiver,), name="bell", daemon=True).start()

    def ring(self, topic: str) -> None:
        """Tell all waiters, in this process and in the others."""
        super().ring(topic)
        message = topic.encode("utf-8", "surrogatepass")
        if len(message) > _LONGEST_TOPIC:
            return
        try:
            names = [name for name in os.listdir(self._directory) if name.startswith("bell-") and name != self._name]
        except OSError:
            return
        for name in names:
            self._send(message, name)

    def close(self) -> None:
        """Stop listening and take the socket away; waits go on until their time is over."""
        self._sender.close()
        if self._receiver is not None:
            (self._directory / self._name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self._receiver.shutdown(socket.SHUT_RDWR)
            self._receiver.close()

    def _send(self, message: bytes, name: str) -> None:
        try:
            with address(self._directory, name) as place:
                self._sender.sendto(message, place)
        except ConnectionRefusedError:
            # Nobody has bound it: its process is dead, and no other will ever take that name.
            with contextlib.suppress(OSError):
                (self._directory / name).unlink()
        except OSError:
            pass  # its queue is full (then it is awake anyway), or it has just gone

    def _receive(self, receiver: socket.socket) -> None:
        while True:
            try:
                message = receiver.recv(_LONGEST_TOPIC + 1)
            except OSError:
                return
            if not message and receiver.fileno() < 0:
                return
            if 0 < len(message) <= _LONGEST_TOPIC:
                LocalBell.ring(self, message.decode("utf-8", "replace"))
