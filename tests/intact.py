"""What must hold of a data directory at any time: whatever stands there is whole."""

import hashlib
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path


def assert_intact(data: Path) -> None:
    """Repositories, database and objects are whole, and nothing is half-written under another name."""
    found = list(faults(data))
    assert not found, "\n".join(found)


def faults(data: Path) -> Iterator[str]:
    """What is not whole."""
    for bare in sorted((data / "repos").glob("*.git")):
        checked = subprocess.run(
            ["git", "--git-dir", str(bare), "fsck", "--full", "--strict", "--no-dangling", "--no-progress"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if checked.returncode or checked.stderr:
            yield f"{bare} is damaged ({checked.returncode}): {checked.stdout}{checked.stderr}"
    with closing(sqlite3.connect(data / "refmill.db")) as database:
        told = database.execute("PRAGMA integrity_check").fetchall()
        if told != [("ok",)]:
            yield f"the database is damaged: {told}"
    walked = os.walk(data / "objects")  # which bears that a folder goes meanwhile
    for path in (Path(place, name) for place, folders, names in walked for name in (*folders, *names)):
        if path.name.endswith((".tmp", ".new")) or ".tmp-" in path.name:
            yield f"{path} is half-written"
        elif path.parent.parent.name == "md5" and path.is_file():
            name = (path.parent.name + path.name).removesuffix(".dir")
            if (found := hashlib.md5(path.read_bytes()).hexdigest()) != name:
                yield f"{path} holds other bytes: {found}"
