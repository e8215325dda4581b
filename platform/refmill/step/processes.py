"""The tree of processes below one process: who is in it, what it uses, and how to end it.

The rule to keep: a tree is found by its parents, never by names. As a *subreaper* the supervisor stays the ancestor of
whatever its command starts, also of daemons that have left their session.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time

LINUX = sys.platform.startswith("linux")
PAGE = os.sysconf("SC_PAGE_SIZE")
PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
FREEZE = 2.0  # seconds in which a growing tree is brought to a stop
LOOKED = 256  # processes whose open files are looked at
OOM_SCORE = b"500"  # of 1000: when the machine runs out of memory, stages go before the platform

_libc = ctypes.CDLL(None, use_errno=True) if LINUX else None
_has_children = os.path.exists("/proc/self/task/%d/children" % os.getpid())


def become_subreaper() -> None:
    """Make orphans below this process its children (Linux; elsewhere they go to init)."""
    if _libc is not None:
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def make_modest(pid: int, nice: int) -> None:
    """Let a command that has just been started, and all that it will start, yield to others.

    From outside: code between fork and exec would need a real fork, which copies the page tables of a Python, and every
    page that is touched afterwards; for a command that takes no time that is most of what its supervisor does.
    """
    try:
        if nice:
            # Of its whole group, as it leads one: what it has started meanwhile would take over the old one.
            os.setpriority(os.PRIO_PGRP, pid, os.getpriority(os.PRIO_PROCESS, 0) + nice)
        if LINUX:
            descriptor = os.open("/proc/%d/oom_score_adj" % pid, os.O_WRONLY)
            os.write(descriptor, OOM_SCORE)
            os.close(descriptor)
    except OSError:
        pass  # it has ended already, or this machine does not allow it


def descendants(root: int, without: int = 0) -> list[int]:
    """Process ids below `root`, without itself and `without`, parents before children."""
    return census(root, without=without)[0]


def census(root: int, most: int = 0, without: int = 0) -> tuple[list[int], int]:
    """The process ids below `root`, parents before children, and how many threads they have together; `without` and
    what is below it are left out.

    Above `most` threads (0 is none) it stops counting: a tree that grows faster than one walks through it has no end.
    """
    if not _has_children:
        found = [pid for pid in _from_table(root) if pid != without]
        return found, len(found)
    found = []
    threads = 0
    queue = [root]
    while queue and not (most and threads > most):
        pid = queue.pop()
        below, own = _children(pid)
        below = [child for child in below if child != without] if without else below
        threads += own if pid != root else 0
        found += below
        queue += below
    return found, threads


def end(root: int) -> None:
    """SIGKILL to all that is below `root`, also to what forks faster than one can kill.

    First its children: with a sandbox ends the namespace of processes that it holds, all at once. What is left after
    that is stopped, each before one looks for its children, so that it makes no more of its kind; then it is killed.
    """
    if not _has_children:
        send(_from_table(root), signal.SIGKILL)
        return
    send(_children(root)[0], signal.SIGKILL)
    known: set[int] = set()
    until = time.monotonic() + FREEZE
    while time.monotonic() < until and _stop_below(root, known):
        pass
    send(descendants(root), signal.SIGKILL)


def _stop_below(root: int, known: set[int]) -> bool:
    """SIGSTOP to all below `root` that is not in `known`, and put it there; False if there was nothing new."""
    before = len(known)
    queue = [root]
    while queue:
        pid = queue.pop()
        if pid != root and pid not in known:
            send([pid], signal.SIGSTOP)
            known.add(pid)
        queue += _children(pid)[0]
    return len(known) > before


def nameless(pids: list[int], place: str) -> int:
    """Bytes of files on the disk of `place` that `pids` hold open and that have no name any more (Linux)."""
    found: dict[int, int] = {}
    try:
        device = os.stat(place).st_dev
    except OSError:
        return 0
    for pid in pids[:LOOKED]:
        try:
            for name in os.listdir("/proc/%d/fd" % pid):
                held = os.stat("/proc/%d/fd/%s" % (pid, name))
                if held.st_nlink == 0 and held.st_dev == device:
                    found[held.st_ino] = held.st_blocks * 512
        except OSError:
            continue
    return sum(found.values())


def name(pid: int) -> str:
    """What a process is called, with its number; the number alone where that is all one can know."""
    try:
        with open("/proc/%d/comm" % pid) as file:
            return "%s (%d)" % (file.read().strip(), pid)
    except OSError:
        return str(pid)


def _children(pid: int) -> tuple[list[int], int]:
    """The children of a process, and how many threads it has."""
    found: list[int] = []
    threads: list[str] = []
    try:
        threads = os.listdir("/proc/%d/task" % pid)
        for task in threads:
            with open("/proc/%d/task/%s/children" % (pid, task), "rb") as file:
                found += [int(word) for word in file.read().split()]
    except OSError:
        pass
    return found, len(threads)


def _from_table(root: int) -> list[int]:
    below: dict[int, list[int]] = {}
    for pid, (parent, _) in _table().items():
        below.setdefault(parent, []).append(pid)
    found: list[int] = []
    queue = [root]
    while queue:
        children = below.get(queue.pop(), [])
        found += children
        queue += children
    return found


def _table() -> dict[int, tuple[int, int]]:
    """Parent and resident bytes of every process, where /proc cannot tell (macOS)."""
    lines = subprocess.run(
        ["ps", "-axo", "pid=,ppid=,rss="], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    ).stdout.splitlines()
    rows = [[int(word) for word in line.split()] for line in lines if len(line.split()) == 3]
    return {pid: (parent, size * 1024) for pid, parent, size in rows}


def memory(pids: list[int], limit: int) -> int:
    """Resident bytes of `pids` together.

    The sum of RSS counts shared pages once for each process that has them. Only a sum above `limit` is worth the far
    dearer PSS, which divides them fairly.
    """
    if not LINUX:
        table = _table()
        return sum(table.get(pid, (0, 0))[1] for pid in pids)
    total = sum(_resident(pid) for pid in pids)
    if limit and total > limit and len(pids) > 1:
        total = sum(_proportional(pid) for pid in pids)
    return total


def _resident(pid: int) -> int:
    try:
        with open("/proc/%d/statm" % pid, "rb") as file:
            return int(file.read().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def _proportional(pid: int) -> int:
    try:
        with open("/proc/%d/smaps_rollup" % pid, "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return _resident(pid)


def send(pids: list[int], number: int) -> None:
    """Signal each of `pids`; those already gone do not matter."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            pass


def marked(marker: str) -> list[int]:
    """Processes whose environment holds `marker` ("NAME=value"): what a lost supervisor has left behind (Linux)."""
    wanted = marker.encode()
    found: list[int] = []
    if not LINUX:
        return found
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open("/proc/%s/environ" % name, "rb") as file:
                    if wanted in file.read().split(b"\0"):
                        found.append(int(name))
            except OSError:
                continue
    return found


def end_marked(marker: str, patience: float) -> bool:
    """SIGKILL every process that carries `marker` until none is left; False if some remain after `patience` seconds."""
    until = time.monotonic() + patience
    while True:
        pids = marked(marker)
        if not pids:
            return True
        if time.monotonic() > until:
            return False
        send(pids, signal.SIGKILL)
        time.sleep(0.01)
