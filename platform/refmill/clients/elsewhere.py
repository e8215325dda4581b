"""Objects out of the HTTP remotes that a repository's `.dvc/config` names, brought into its store in the background.

The rule to keep: nothing that was fetched is believed before the store has hashed it, and a directory's listing comes
after its files.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from refmill import errors
from refmill.clients import fetching
from refmill.formats import directories
from refmill.formats.hashing import OLD, md5_file, old_md5
from refmill.formats.remotes import HttpRemote, http_remotes
from refmill.ports.objects import Objects
from refmill.texts import text

Reach = Literal["public", "all", "off"]

LOG = logging.getLogger(__name__)
LISTING_LIMIT = 256 << 20
"""The longest listing that a store hands out in one piece."""
AT_ONCE = 4
"""Objects that are fetched at the same time, for all repositories together."""


class HttpElsewhere:
    """`ports.imports.Elsewhere`. `own` is the platform's address, whose remotes need no fetching; `arrived` is told
    (repository id, md5s) of what came; `reach` is the setting `remotes`."""

    def __init__(
        self, objects: Callable[[str], Objects], arrived: Callable[[str, Sequence[str]], object], scratch: Path, *,
        own: str, limit: int, reach: Reach = "public",
    ) -> None:  # fmt: skip
        self._objects, self._arrived, self._scratch = objects, arrived, scratch
        self._own, self._limit, self._reach = own, limit, reach
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="elsewhere")
        self._under_way: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._closing = False
        shutil.rmtree(scratch, ignore_errors=True)  # what a SIGKILL left

    def fetch(self, repository_id: str, config: bytes, md5s: Iterable[str]) -> None:
        """See the port. What is under way already is not begun again."""
        remotes = self._asked(config)
        for md5 in sorted(md5s) if remotes else ():
            with self._lock:
                if self._closing or (repository_id, md5) in self._under_way:
                    continue
                self._under_way.add((repository_id, md5))
                self._pool.submit(self._bring, repository_id, remotes, md5)

    def asks(self, config: bytes) -> Sequence[str]:
        """See the port."""
        return [remote.url for remote in self._asked(config)]

    def _asked(self, config: bytes) -> Sequence[HttpRemote]:
        found = http_remotes(config) if self._reach != "off" else ()
        return [remote for remote in found if not remote.url.startswith(f"{self._own}/")]

    def close(self) -> None:
        """Begin nothing more, and break off what is under way; the next start begins it again."""
        with self._lock:
            self._closing = True
        self._pool.shutdown(cancel_futures=True)

    def _bring(self, repository_id: str, remotes: Sequence[HttpRemote], md5: str) -> None:
        try:
            self._bring_whole(self._objects(repository_id), remotes, md5)
            self._arrived(repository_id, [md5])
        except errors.RefmillError as error:
            LOG.warning("%s for %s: %s", md5, repository_id, error)
        except Exception:
            LOG.exception("%s could not be fetched for %s", md5, repository_id)
        finally:
            with self._lock:
                self._under_way.discard((repository_id, md5))

    def _bring_whole(self, store: Objects, remotes: Sequence[HttpRemote], md5: str) -> None:
        """An object; of a directory first the files, so that a listing that is there is complete."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            found = Path(folder, "object")
            if not md5.endswith(".dir"):
                self._bring_one(store, remotes, md5, found)
                return
            if store.present([md5]):
                listing = store.read(md5)
            else:
                self._download(remotes, md5, found, LISTING_LIMIT)
                _check(found, md5)  # before thousands of files are fetched for it
                listing = found.read_bytes()
            files = sorted({entry.md5 for entry in directories.parse(listing, md5).entries})
            there = store.present(files)
            for number, name in enumerate(name for name in files if name not in there):
                if self._closing:
                    raise errors.Unavailable(text("the platform is stopping"))
                self._bring_one(store, remotes, name, Path(folder, str(number)))
            if found.exists():
                self._put(store, found, md5)

    def _bring_one(self, store: Objects, remotes: Sequence[HttpRemote], md5: str, found: Path) -> None:
        if not store.present([md5]):
            self._download(remotes, md5, found, self._limit)
            self._put(store, found, md5)
            found.unlink()

    def _put(self, store: Objects, found: Path, md5: str) -> None:
        try:
            store.put(found, md5, move=True)
        except errors.Damaged as error:
            raise _something_else(md5) from error

    def _download(self, remotes: Sequence[HttpRemote], md5: str, target: Path, limit: int) -> None:
        """Out of the first remote that has it. Raises what the last one that failed otherwise than by not having it
        said, else NotFound."""
        failure: errors.RefmillError | None = None
        for remote in remotes:
            try:
                fetching.download(
                    f"{remote.url}/{_place(md5)}", target, limit=limit, user=remote.user, password=remote.password,
                    private=self._reach == "all", stopping=lambda: self._closing,
                )  # fmt: skip
            except errors.NotFound:
                continue
            except errors.RefmillError as error:
                failure = error
            else:
                return
        raise failure or errors.NotFound(text("no remote that .dvc/config names has %(md5)s", md5=md5))


def _check(found: Path, md5: str) -> None:
    is_old = md5.startswith(OLD)
    if (old_md5(found) if is_old else md5_file(found)[0]) != md5.removeprefix(OLD)[:32]:
        raise _something_else(md5)


def _something_else(md5: str) -> errors.Damaged:
    return errors.Damaged(text("what the remote has as %(md5)s is something else", md5=md5))


def _place(md5: str) -> str:
    """Where DVC puts an object on a remote."""
    name = md5.removeprefix(OLD)
    return f"{name[:2]}/{name[2:]}" if name != md5 else f"files/md5/{name[:2]}/{name[2:]}"
