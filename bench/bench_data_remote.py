"""20,000 files of 4 KB by `dvc push` and `dvc pull`: over Refmill's data remote, to a directory beside it, and to a
server that does nothing (bench/memory_remote.py): no HTTP remote can take less than DVC's own HTTP client does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import peers
from peers import DVC, Platform, new_copy

FILES, SIZE, ROUNDS = 20_000, 4096, 2


def main() -> None:
    """Measure and print."""
    with peers.quiet() as folder:
        platform = Platform(folder / "data").start()
        try:
            platform.user("alice", "--admin")
            measure(platform, folder)
        finally:
            platform.stop()


def measure(platform: Platform, folder: Path) -> None:
    """Push from a full cache into an empty remote, pull from the remote into an empty cache."""
    copy = new_copy(folder / "copy", {"README": "data\n"})
    data = copy.path / "data"
    for number in range(FILES):
        place = data / f"{number % 100:02d}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.bin").write_bytes(os.urandom(SIZE))
    copy.dvc("add", "--quiet", "data")
    copy.commit("data")
    pushes: dict[str, list[float]] = {}
    pulls: dict[str, list[float]] = {}
    for number in range(ROUNDS):
        repository = f"alice/data{number}"
        copy.git("push", "--quiet", platform.url(repository, "alice"), "main")
        with memory_remote() as floor:
            remotes = {
                f"a directory ({peers.DVC_REPRO.replace(' repro', '')})": str(folder / f"remote{number}"),
                "DVC's HTTP client alone (a server that only remembers)": floor,
                "Refmill's data remote": platform.url(repository, ending=".dvc"),
            }
            for name, address in remotes.items():
                use(copy, address, platform if name.startswith("Refmill") else None)
                pushes.setdefault(name, []).append(peers.timed(copy, DVC, "push", "--quiet"))
                shutil.rmtree(data)
                shutil.rmtree(copy.path / ".dvc" / "cache")
                pulls.setdefault(name, []).append(peers.timed(copy, DVC, "pull", "--quiet"))
                assert sum(1 for path in data.rglob("*") if path.is_file()) == FILES
    first = next(iter(pushes))
    peers.show(f"dvc push of {FILES} × 4 KB", pushes, first)
    print()
    peers.show(f"dvc pull of {FILES} × 4 KB", pulls, first)


def use(copy: peers.Copy, address: str, platform: Platform | None) -> None:
    """Make `address` the remote of the working copy, with alice's password if it is the platform's."""
    copy.dvc("remote", "add", "--force", "--default", "--local", "bench", address)
    if platform is not None:
        for key, value in (("auth", "basic"), ("user", "alice"), ("password", platform.user("alice"))):
            copy.dvc("remote", "modify", "--local", "bench", key, value)


@contextmanager
def memory_remote() -> Iterator[str]:
    """The address of a server that keeps what it gets in memory, while the block runs."""
    program = str(Path(__file__).with_name("memory_remote.py"))
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}/alice/data.dvc"
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
