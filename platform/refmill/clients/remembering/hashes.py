"""MD5 of files in a working copy, remembered between two commands by size, times and inode.

The rule to keep: what is remembered must be what a fresh reading gives. A file that changed within the clock's tick
before it was read could change once more without a sign, and is therefore read again next time (git calls such
entries racily clean).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import TypeAlias

from refmill.formats import directories
from refmill.formats.hashing import FileHash

_TICK = 20_000_000
"""Nanoseconds between two times that a file system tells apart at the latest (a kernel of 100 Hz), doubled."""
_BIG = 16 << 20
"""Bytes above which waiting for the tick to pass is cheaper than reading the file again next time."""
_Signs: TypeAlias = tuple[int, int, int, int]


class HashMemory:
    """A `directories.Hasher` that remembers, in the SQLite database `file`. Safe to use from several threads.

    A database that cannot be used is begun anew, or done without: it only ever saves time.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._new: dict[str, tuple[_Signs, str]] = {}
        self._known: dict[str, tuple[_Signs, str]] | None = None

    def __call__(self, path: Path, *, inside: Path | None = None) -> FileHash:
        """As `directories.hash_file`."""
        status = os.stat(path)
        name, signs = os.fspath(path), _signs(status)
        executable = bool(status.st_mode & 0o111)
        with self._lock:
            found = self._new.get(name) or self._load().get(name)
        if found is not None and found[0] == signs:
            return FileHash(found[1], status.st_size, isexec=executable)
        if status.st_size > _BIG:
            time.sleep(max(0.0, min(_age_wanted(signs) - time.time_ns(), _TICK)) / 1e9)
        began = time.time_ns()
        read = directories.hash_file(path, inside=inside)
        if began > _age_wanted(signs) and _signs(os.stat(path)) == signs:
            with self._lock:
                self._new[name] = (signs, read.md5)
        return read

    def save(self) -> None:
        """Write down what was read since the last time."""
        with self._lock:
            new, self._new = self._new, {}
            if not new:
                return
            self._load().update(new)
            rows = [(os.fsencode(name), *signs, md5) for name, (signs, md5) in new.items()]
            with contextlib.suppress(sqlite3.Error, OSError), contextlib.closing(self._open()) as database, database:
                database.executemany("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?, ?)", rows)

    def _load(self) -> dict[str, tuple[_Signs, str]]:
        if self._known is None:
            self._known = {}
            if self._file.exists():
                try:
                    with contextlib.closing(self._open()) as database:
                        rows = database.execute("SELECT * FROM hashes").fetchall()
                    self._known = {os.fsdecode(row[0]): (tuple(row[1:5]), row[5]) for row in rows}
                except (sqlite3.Error, OSError):
                    with contextlib.suppress(OSError):
                        self._file.unlink()
        return self._known

    def _open(self) -> sqlite3.Connection:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._file, timeout=2.0)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(
            "CREATE TABLE IF NOT EXISTS hashes (path BLOB PRIMARY KEY, size INTEGER, mtime INTEGER, ctime INTEGER,"
            " inode INTEGER, md5 TEXT) WITHOUT ROWID"
        )
        return database


def _signs(status: os.stat_result) -> _Signs:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _age_wanted(signs: _Signs) -> int:
    """From when on (UTC nanoseconds) a file with these times can be read and remembered."""
    return max(signs[1], signs[2]) + _TICK
