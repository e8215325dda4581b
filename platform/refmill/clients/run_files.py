"""The archives of a repository's runs: a folder for each, and beside it the same in a bucket where there is one.

The rules to keep: what is in the folder is as good as what is in the bucket, since an archive never changes once its
run has ended; the folder may be lost. What is half-written lies elsewhere, in a folder that a start empties: nobody
comes back to the archive of a run that has ended.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from refmill import errors
from refmill.clients import files
from refmill.clients.objects import TEMPORARY
from refmill.ports.blobs import Blobs


class RunFiles:
    """`root/<number>/…`, and `prefix<number>/…` in `bucket`. `aside`, on the same disk, is where files are written."""

    def __init__(self, root: Path, bucket: Blobs | None, prefix: str, *, aside: Path) -> None:
        self._root, self._bucket, self._prefix, self._aside = root, bucket, prefix, aside

    def folder(self, number: int) -> Path:
        """Where a run's archive is."""
        return self._root / str(number)

    @contextmanager
    def new(self, number: int, name: str) -> Iterator[Path]:
        """A temporary path that becomes the file `name` of a run's archive when the block ends well. Raises OSError."""
        path = self.folder(number) / name
        for folder in (self._aside, path.parent):
            files.make_directory(folder, durable=False)
        with files.replacing(path, beside=self._aside / f"{TEMPORARY}{secrets.token_hex(8)}") as temporary:
            yield temporary

    def near(self, number: int, name: str) -> Path:
        """The file `name` of a run's archive, brought here if it is in the bucket alone; it may not be there.
        Raises Unavailable."""
        path = self.folder(number) / name
        if self._bucket is None or path.exists():
            return path
        try:
            blocks = self._bucket.blocks(f"{self._prefix}{number}/{name}")
            first = next(blocks, b"")
        except errors.NotFound:
            return path
        with self.new(number, name) as temporary, temporary.open("xb") as file:
            file.write(first)
            file.writelines(blocks)
        return path

    def send(self, number: int) -> None:
        """Have the whole of a run's archive in the bucket. Raises Unavailable."""
        if self._bucket is None:
            return
        folder, prefix = self.folder(number), f"{self._prefix}{number}/"
        there = {item.key.removeprefix(prefix): item.size for item in self._bucket.list(prefix)}
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            # `run.json` last, by its name: where it is, the logs are.
            if path.is_file() and (name == "run.json" or there.get(name) != path.stat().st_size):
                self._bucket.put_file(prefix + name, path)

    def numbers(self) -> Iterable[int]:
        """The runs that have an archive, in order."""
        names = {place.name for place in self._root.iterdir()} if self._root.is_dir() else set()
        if self._bucket is not None:
            names.update(self._bucket.folders(self._prefix))
        return sorted(int(name) for name in names if name.isascii() and name.isdecimal())
