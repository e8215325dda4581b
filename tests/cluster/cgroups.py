"""The cgroups of the cluster: all that belongs to it is in them, so they tell what to end."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from cluster.calling import wait
from cluster.errors import ClusterError

ROOT = Path("/sys/fs/cgroup")
NAME = "kubernetes-of-refmill"
"""Not `refmill-…`: that may be what a Refmill on this machine gives to its stages."""
SYSTEM = "system"
"""Below NAME: the cluster's own programs. The kubelet puts its pods beside them."""
SECONDS = 30.0


def unified() -> bool:
    """Whether this machine has cgroup v2 alone."""
    return (ROOT / "cgroup.controllers").exists()


def hierarchies() -> list[Path]:
    """The roots of all hierarchies, each once (`cpu` may be a link to `cpu,cpuacct`)."""
    if unified():
        return [ROOT]
    return sorted({folder.resolve() for folder in ROOT.iterdir() if (folder / "cgroup.procs").exists()})


def create() -> None:
    """Make the cluster's cgroups in every hierarchy; raises ClusterError where that is refused."""
    try:
        for top in hierarchies():
            _enable(top)
            for folder in (top / NAME, top / NAME / SYSTEM):
                folder.mkdir(exist_ok=True)
                _inherit_cpuset(folder)
            if unified():
                _enable(top / NAME)
    except OSError as error:
        raise ClusterError(f"this machine refuses cgroups to the cluster: {error}") from error


def _enable(folder: Path) -> None:
    """Hand the controllers of cgroup v2 down."""
    if unified():
        for controller in (folder / "cgroup.controllers").read_text().split():
            (folder / "cgroup.subtree_control").write_text(f"+{controller}")


def _inherit_cpuset(folder: Path) -> None:
    """In cgroup v1 nothing may join a cpuset that names no processor."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not unified() and (folder / name).exists() and not (folder / name).read_text().strip():
            (folder / name).write_text((folder.parent / name).read_text())


def joining(command: list[str]) -> list[str]:
    """The command, started by a shell that has moved itself into the cluster's cgroups before."""
    files = [str(top / NAME / SYSTEM / "cgroup.procs") for top in hierarchies()]
    script = f'for file in {" ".join(files)}; do echo $$ >"$file" || exit 1; done; exec "$@"'
    return ["sh", "-c", script, "sh", *command]


def folders() -> list[Path]:
    """All cgroups of the cluster, the innermost first."""
    found = [
        Path(folder)
        for top in hierarchies()
        if (top / NAME).is_dir()
        for folder, _, _ in os.walk(top / NAME, topdown=False)
    ]
    return sorted(found, key=lambda folder: len(folder.parts), reverse=True)


def processes() -> set[int]:
    """Numbers of all processes of the cluster and of its pods."""
    return {number for folder in folders() for number in _members(folder)}


def _members(folder: Path) -> Iterator[int]:
    try:
        words = (folder / "cgroup.procs").read_text().split()
    except OSError:  # a pod's cgroup that has just gone, or a v2 cgroup of threads
        return
    # Another pid namespace's processes show as 0.
    yield from (int(word) for word in words if word != "0")


def kill() -> None:
    """End everything; raises ClusterError where something does not end."""

    def ended() -> bool:
        left = processes()
        for number in left:
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return not left

    wait(ended, "the cluster's processes have ended", SECONDS, pause=0.05)


def remove() -> None:
    """Take the cgroups away; raises ClusterError where one stays."""

    def gone() -> bool:
        for folder in folders():
            try:
                folder.rmdir()
            except OSError:  # the kernel still counts a process that has just ended
                return False
        return True

    wait(gone, "the cluster's cgroups are gone", SECONDS, pause=0.05)


def memory() -> int:
    """Bytes of memory that the cluster and its pods hold, without the files they read."""
    folder, field = (ROOT / NAME, "anon") if unified() else (ROOT / "memory" / NAME, "total_rss")
    try:
        lines = [line.split() for line in (folder / "memory.stat").read_text().splitlines()]
    except OSError:
        return 0
    return sum(int(value) for name, value in lines if name == field)
