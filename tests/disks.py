"""A small disk of its own for a test: it can be full, or read-only, without harm to anybody else."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

BALLAST = "ballast"


class SmallDisk:
    """A file system in memory, mounted at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self, left: int = 0) -> None:
        """Take all room but `left` bytes."""
        with (self.path / BALLAST).open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        if left:
            with (self.path / BALLAST).open("rb+") as file:
                file.truncate(max(0, (self.path / BALLAST).stat().st_size - left))

    def make_room(self) -> None:
        """Give it back."""
        (self.path / BALLAST).unlink()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody can write below that folder, or into that file, not even root; what is open for writing stays so."""
    if subprocess.run(["mount", "--bind", str(folder), str(folder)], capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mounted at `path`, and gone afterwards; the test is skipped where that is not allowed."""
    path.mkdir()
    size = f"size={megabytes}m"
    command = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(path)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"only root may mount a small disk: {made.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
