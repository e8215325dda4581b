"""What must hold of a data directory at any time: whatever stands there is whole."""

import hashlib
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path


def assert_intact(data: Path) -> None:
    """Repositories, database and objects are whole, and nothing is half-written under another name."""
    for bare in sorted((data / "repos").glob("*.git")):
        checked = subprocess.run(
            ["git", "--git-dir", str(bare), "fsck", "--full", "--strict", "--no-dangling", "--no-progress"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert checked.returncode == 0, checked.stderr
        assert not checked.stderr, checked.stderr
    with closing(sqlite3.connect(data / "refmill.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    for path in (data / "objects").rglob("*"):
        assert not path.name.endswith((".tmp", ".new")), path
        assert ".tmp-" not in path.name, path
        if path.is_file() and path.parent.parent.name == "md5":
            name = (path.parent.name + path.name).removesuffix(".dir")
            assert hashlib.md5(path.read_bytes()).hexdigest() == name, path
