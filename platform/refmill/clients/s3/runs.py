"""DVC's run-cache in a bucket, with copies of what was used in a directory beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from refmill.clients.objects import DirectoryRunCache, check_run_names, entry_of, entry_text, is_run_key
from refmill.clients.s3.bucket import Bucket
from refmill.model.pipelines import LockEntry

LIMIT = 16 << 20
AT_ONCE = 1000  # entries that are held in memory together


class S3RunCache:
    """`ports.objects.HostedRunCache` below the key `root` ("r/<repository id>/") of a bucket; `near` holds copies. An
    entry never changes, so a copy is as good as what it was made from."""

    def __init__(self, bucket: Bucket, root: str, near: Path) -> None:
        self._bucket, self._root = bucket, root
        self._near = DirectoryRunCache(near, durable=False)

    def load(self, key: str) -> LockEntry | None:
        if not is_run_key(key):
            return None
        found = self._near.load(key)
        if found is not None:
            return found
        listed = sorted(self._bucket.list(f"{self._root}runs/{key[:2]}/{key}/"), key=lambda item: item.written)
        for item in reversed(listed):
            value = item.key.rpartition("/")[2]
            data = self._bucket.read(item.key, LIMIT) if item.size <= LIMIT and is_run_key(value) else None
            entry = None if data is None else entry_of(data, value)
            if entry is not None:
                self._near.save(key, value, entry)
                return entry
        return None

    def texts(self) -> Iterator[str]:
        keys = [item.key for item in self._bucket.list(f"{self._root}runs/")]
        for start in range(0, len(keys), AT_ONCE):
            read = self._bucket.each(lambda key: self._bucket.read(key, LIMIT), keys[start : start + AT_ONCE])
            yield from (data.decode("utf-8", "replace") for data in read if data is not None)

    def save(self, key: str, value: str, entry: LockEntry) -> None:
        check_run_names(key, value)
        place = f"{self._root}runs/{key[:2]}/{key}/{value}"
        if self._bucket.stat(place) is None:
            self._bucket.put(place, entry_text(entry).encode())
        self._near.save(key, value, entry)
