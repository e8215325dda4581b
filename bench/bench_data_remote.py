"""20,000 files of 4 KB by `dvc push` and `dvc pull`: over Refmill's data remote, and to a directory beside it."""

from __future__ import annotations

import os
import shutil
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
        remotes = {f"a directory ({peers.DVC_REPRO.replace(' repro', '')})": str(folder / f"remote{number}"),
                   "Refmill's data remote": platform.url(repository, ending=".dvc")}  # fmt: skip
        for name, address in remotes.items():
            copy.dvc("remote", "add", "--force", "--default", "--local", "bench", address)
            if address.startswith("http"):
                for key, value in (("auth", "basic"), ("user", "alice"), ("password", platform.user("alice"))):
                    copy.dvc("remote", "modify", "--local", "bench", key, value)
            pushes.setdefault(name, []).append(peers.timed(copy, DVC, "push", "--quiet"))
            shutil.rmtree(data)
            shutil.rmtree(copy.path / ".dvc" / "cache")
            pulls.setdefault(name, []).append(peers.timed(copy, DVC, "pull", "--quiet"))
            assert sum(1 for path in data.rglob("*") if path.is_file()) == FILES
    first = next(iter(pushes))
    peers.show(f"dvc push of {FILES} × 4 KB", pushes, first)
    print()
    peers.show(f"dvc pull of {FILES} × 4 KB", pulls, first)


if __name__ == "__main__":
    main()
