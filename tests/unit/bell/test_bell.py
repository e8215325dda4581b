"""Rings across threads and processes."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from refmill.clients.bell import LocalBell, NullBell, SocketBell

SOON = 5.0  # seconds in which anything that is going to happen has happened


@pytest.fixture
def bells(tmp_path: Path) -> Iterator[tuple[SocketBell, SocketBell]]:
    two = SocketBell(tmp_path / "run"), SocketBell(tmp_path / "run")
    yield two
    for bell in two:
        bell.close()


def later(seconds: float, bell: LocalBell, topic: str) -> None:
    threading.Timer(seconds, bell.ring, [topic]).start()


def test_a_ring_is_heard_by_others_and_by_oneself(bells: tuple[SocketBell, SocketBell]) -> None:
    for listener in bells:
        later(0.05, bells[0], "events")
        assert listener.wait(frozenset({"wishes", "events"}), SOON)


def test_other_topics_wake_nobody(bells: tuple[SocketBell, SocketBell]) -> None:
    later(0.02, bells[0], "run:other")
    assert not bells[1].wait(frozenset({"run:this"}), 0.15)
    assert not bells[1].wait(frozenset(), 0.01)
    assert not bells[1].wait(frozenset({"x"}), -1)


def test_a_ring_just_before_the_first_wait_is_heard_once(bells: tuple[SocketBell, SocketBell]) -> None:
    bells[0].ring("events")
    assert bells[1].wait(frozenset({"events"}), SOON)
    assert not bells[1].wait(frozenset({"events"}), 0.1)


def test_a_ring_between_two_waits_is_heard() -> None:
    bell = LocalBell()
    assert not bell.wait(frozenset({"events"}), 0.01)
    bell.ring("events")
    assert bell.wait(frozenset({"events"}), 0)
    assert not bell.wait(frozenset({"events"}), 0.01)


def test_a_waiter_for_several_topics_is_told_which_rang() -> None:
    bell = LocalBell()
    topics = frozenset({"run:1", "run:2", "run:3"})
    assert bell.wait(topics, 0) == frozenset()
    bell.ring("run:1")
    bell.ring("run:3")
    bell.ring("run:4")
    assert bell.wait(topics, SOON) == {"run:1", "run:3"}
    later(0.1, bell, "run:2")
    assert bell.wait(topics, SOON) == {"run:2"}


def test_a_ring_long_ago_does_not_wake_a_newcomer(monkeypatch: pytest.MonkeyPatch) -> None:
    bell = LocalBell()
    bell.ring("events")
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + 100)
    assert not bell.wait(frozenset({"events"}), 0.01)


def test_all_threads_that_wait_are_woken(bells: tuple[SocketBell, SocketBell]) -> None:
    heard: list[frozenset[str]] = []
    threads = [
        threading.Thread(target=lambda: heard.append(bells[1].wait(frozenset({"run:1"}), SOON))) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    later(0.1, bells[0], "run:1")
    for thread in threads:
        thread.join()
    assert heard == [{"run:1"}] * 20
    assert bells[1]._waiters == {}


def test_rings_cross_processes_and_the_dead_are_forgotten(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from refmill.clients.bell import SocketBell\n"
        "bell = SocketBell(Path(sys.argv[1])); print('up', flush=True)\n"
        "print(*bell.wait(frozenset({'events'}), 20), flush=True); bell.wait(frozenset({'never'}), 60)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout
    assert other.stdout.readline() == "up\n"
    ringer = SocketBell(tmp_path, listen=False)
    ringer.ring("events")
    assert other.stdout.readline() == "events\n"
    other.send_signal(signal.SIGKILL)
    other.communicate()
    assert len(list(tmp_path.glob("bell-*"))) == 1
    ringer.ring("events")
    assert list(tmp_path.glob("bell-*")) == []
    ringer.close()


def test_a_deep_data_directory_is_no_obstacle(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120) / "run"
    one, two = SocketBell(deep), SocketBell(deep)
    later(0.02, one, "events")
    assert two.wait(frozenset({"events"}), SOON)
    one.close()
    two.close()
    assert list(deep.iterdir()) == []


def test_ringing_never_fails(tmp_path: Path, bells: tuple[SocketBell, SocketBell]) -> None:
    bell = SocketBell(tmp_path / "gone", listen=False)
    (tmp_path / "gone").rmdir()
    bell.ring("events")
    (tmp_path / "run" / "bell-no-socket.sock").write_text("a file")
    bells[0].ring("x" * 10_000)
    bells[0].ring("\ud800")
    bells[0].ring("events")
    assert bells[1].wait(frozenset({"events"}), SOON)
    bell.close()


def test_a_listener_that_sleeps_does_not_stop_the_ringer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a short address for its socket
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asleep:
        asleep.bind("bell-1-x.sock")
        bell = SocketBell(tmp_path, listen=False)
        for count in range(2000):
            bell.ring(f"run:{count}")
        assert (tmp_path / "bell-1-x.sock").exists()
        bell.close()


def test_odd_messages_do_not_end_the_listener(
    tmp_path: Path, bells: tuple[SocketBell, SocketBell], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "run")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        for name in os.listdir():
            for message in (b"", b"\xff\xfe", b"x" * 5000):
                stranger.sendto(message, name)
    bells[0].ring("events")
    assert bells[1].wait(frozenset({"events"}), SOON)


def test_a_closed_bell_ends_its_thread_and_its_socket(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    bell = SocketBell(tmp_path)
    (thread,) = set(threading.enumerate()) - before
    assert (next(tmp_path.glob("bell-*")).stat().st_mode & 0o777) == 0o600
    bell.close()
    thread.join(SOON)
    assert not thread.is_alive()
    assert list(tmp_path.iterdir()) == []


def test_memory_stays_bounded() -> None:
    bell = LocalBell()
    for count in range(10_000):
        bell.ring(f"run:{count}")
        bell.wait(frozenset({f"event:{count}"}), 0)
    assert len(bell._last) <= 4096
    assert bell._waiters == {}
    assert len(bell._thread.seen) == 1


def test_the_null_bell_only_waits() -> None:
    bell = NullBell()
    bell.ring("events")
    assert not bell.wait(frozenset({"events"}), 0.01)
