"""What this machine has to give: cores, memory, GPUs, inside of the container or control group we run in."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

from refmill.engine.scheduler import Budget

CGROUP = Path("/sys/fs/cgroup")
PART = 0.8  # of the memory goes to stages; the rest is for the platform and the file cache


def budget(*, cpus: float = 0.0, memory: int = 0, gpus: int = -1) -> Budget:
    """The budget of stages; 0 cores, 0 bytes and -1 GPUs mean "what is there"."""
    return Budget(cpus or cores(), memory or int(total_memory() * PART), gpu_count() if gpus < 0 else gpus)


def cores() -> float:
    """Cores that this process may use, within a cgroup's quota (cpu.max: "quota period" in microseconds)."""
    allowed = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    quota = _words(CGROUP / "cpu.max")
    if len(quota) == 2 and quota[0].isdigit():
        allowed = min(allowed, max(0.1, int(quota[0]) / int(quota[1])))
    return allowed


def total_memory() -> int:
    """Bytes of memory, within a cgroup's limit."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _words(CGROUP / "memory.max")
    return min(whole, int(limit[0])) if limit and limit[0].isdigit() else whole


def gpu_count() -> int:
    """NVIDIA devices; their driver names them /dev/nvidia0, /dev/nvidia1, …"""
    try:
        return sum(bool(re.fullmatch(r"nvidia\d+", name)) for name in os.listdir("/dev"))
    except OSError:
        return 0


@functools.cache
def boot() -> str:
    """A name of the time since the machine started, "" where there is none to be had.

    A file that was written before a power cut may be whole, its neighbours not: what another boot left unfinished is
    done again.
    """
    return " ".join(_words(Path("/proc/sys/kernel/random/boot_id")))


def lives(pid: int) -> bool:
    """Whether there is a process of that number; another may have taken the number over since."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, and alive
    return True


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
