"""Objects out of the remotes that a repository's `.dvc/config` names, brought into its store in the background.

The rule to keep: nothing that was fetched is believed before the store has hashed it, and a directory's listing comes
after its files.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, Protocol

from refmill import errors
from refmill.clients import fetching
from refmill.clients.s3 import ForeignBucket
from refmill.formats import directories
from refmill.formats.hashing import OLD, md5_file, old_md5
from refmill.formats.remotes import HttpRemote, Remote, S3Keys, S3Remote, remotes
from refmill.ports.objects import Objects
from refmill.texts import Text, text

Reach = Literal["public", "all", "off"]

LOG = logging.getLogger(__name__)
LISTING_LIMIT = 256 << 20
"""The longest listing that a store hands out in one piece."""
AT_ONCE = 4
"""Objects that are fetched at the same time, for all repositories together."""
PAUSES = (0.5, 2.0)
"""Seconds before a remote that could not answer is asked once more."""
KEY, SECRET, TOKEN = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"
"""The secrets of a repository that open its S3 remotes."""


class _Source(Protocol):
    """A remote that is asked."""

    def download(self, place: str, target: Path, *, limit: int, private: bool, stopping: Callable[[], bool]) -> None:
        """Make the new file `target` of what lies at `place`. Raises NotFound if nothing does, Unavailable for what may
        be over soon, other errors for what will not."""


class _Website:
    def __init__(self, remote: HttpRemote) -> None:
        self._remote = remote

    def download(self, place: str, target: Path, *, limit: int, private: bool, stopping: Callable[[], bool]) -> None:
        remote = self._remote
        fetching.download(
            f"{remote.url}/{place}", target, limit=limit, user=remote.user, password=remote.password, private=private,
            stopping=stopping,
        )  # fmt: skip


class NamedRemotes:
    """`ports.imports.Elsewhere`. `own` is the platform's address, whose remotes need no fetching; `arrived` is told
    (repository id, md5s) of what came, `failed` (repository id, md5, why) of what did not; `secrets` gives those of a
    repository by their names; `reach` is the setting `remotes`."""

    def __init__(
        self, objects: Callable[[str], Objects], arrived: Callable[[str, Sequence[str]], object],
        failed: Callable[[str, str, Text], object], secrets: Callable[[str, Iterable[str]], Mapping[str, str]],
        scratch: Path, *, own: str, limit: int, reach: Reach = "public",
    ) -> None:  # fmt: skip
        self._objects, self._arrived, self._failed, self._secrets = objects, arrived, failed, secrets
        self._scratch = scratch
        self._own, self._limit, self._reach = own, limit, reach
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="elsewhere")
        self._under_way: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        shutil.rmtree(scratch, ignore_errors=True)  # what a SIGKILL left

    def fetch(self, repository_id: str, config: bytes, md5s: Iterable[str]) -> None:
        """See the port. What is under way already is not begun again."""
        named = self._asked(config)
        for md5 in sorted(md5s) if named else ():
            with self._lock:
                if self._closing.is_set() or (repository_id, md5) in self._under_way:
                    continue
                self._under_way.add((repository_id, md5))
                self._pool.submit(self._bring, repository_id, named, md5)

    def asks(self, config: bytes) -> Sequence[str]:
        """See the port."""
        return [remote.url for remote in self._asked(config)]

    def _asked(self, config: bytes) -> Sequence[Remote]:
        found = remotes(config) if self._reach != "off" else ()
        return [remote for remote in found if not remote.url.startswith(f"{self._own}/")]

    def close(self) -> None:
        """Begin nothing more, and break off what is under way; the next start begins it again."""
        with self._lock:
            self._closing.set()
        self._pool.shutdown(cancel_futures=True)

    def _bring(self, repository_id: str, named: Sequence[Remote], md5: str) -> None:
        why: Text | None = None
        try:
            self._bring_whole(self._objects(repository_id), self._sources(repository_id, named), md5)
        except errors.RefmillError as error:
            LOG.warning("%s for %s: %s", md5, repository_id, error)
            why = text(
                "%(problem)s. %(remedy)s", problem=error.message, remedy=error.remedy or text("It is tried again.")
            )
        except Exception as error:
            LOG.exception("%s could not be fetched for %s", md5, repository_id)
            why = text("Refmill itself failed: %(detail)s", detail=str(error)[:300])
        with self._lock:
            self._under_way.discard((repository_id, md5))
        self._tell(repository_id, md5, why)

    def _tell(self, repository_id: str, md5: str, why: Text | None) -> None:
        try:
            if why is None:
                self._arrived(repository_id, [md5])
            elif not self._closing.is_set():
                self._failed(repository_id, md5, why)
        except errors.RefmillError as error:
            LOG.warning("%s for %s: %s", md5, repository_id, error)
        except Exception:
            LOG.exception("%s for %s could not be told of", md5, repository_id)

    def _sources(self, repository_id: str, named: Sequence[Remote]) -> Sequence[_Source]:
        opened = any(isinstance(item, S3Remote) and item.keys is None and not item.anonymous for item in named)
        values = self._secrets(repository_id, (KEY, SECRET, TOKEN)) if opened else {}
        key, secret, token = (values.get(name, "").strip() for name in (KEY, SECRET, TOKEN))
        theirs = S3Keys(key, secret, token) if key and secret else None
        return [
            _Website(item)
            if isinstance(item, HttpRemote)
            else ForeignBucket(item, None if item.anonymous else item.keys or theirs)
            for item in named
        ]

    def _bring_whole(self, store: Objects, sources: Sequence[_Source], md5: str) -> None:
        """An object; of a directory first the files, so that a listing that is there is complete."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            found = Path(folder, "object")
            if not md5.endswith(".dir"):
                self._bring_one(store, sources, md5, found)
                return
            if store.present([md5]):
                listing = store.read(md5)
            else:
                self._download(sources, md5, found, LISTING_LIMIT)
                _check(found, md5)  # before thousands of files are fetched for it
                listing = found.read_bytes()
            files = sorted({entry.md5 for entry in directories.parse(listing, md5).entries})
            there = store.present(files)
            for number, name in enumerate(name for name in files if name not in there):
                if self._closing.is_set():
                    raise errors.Unavailable(text("the platform is stopping"))
                self._bring_one(store, sources, name, Path(folder, str(number)))
            if found.exists():
                self._put(store, found, md5)

    def _bring_one(self, store: Objects, sources: Sequence[_Source], md5: str, found: Path) -> None:
        if not store.present([md5]):
            self._download(sources, md5, found, self._limit)
            self._put(store, found, md5)
            found.unlink()

    def _put(self, store: Objects, found: Path, md5: str) -> None:
        try:
            store.put(found, md5, move=True)
        except errors.Damaged as error:
            raise _something_else(md5) from error

    def _download(self, sources: Sequence[_Source], md5: str, target: Path, limit: int) -> None:
        """Out of the first remote that has it. Raises what the last one that failed otherwise than by not having it
        said, else NotFound."""
        failure: errors.RefmillError | None = None
        for source in sources:
            try:
                self._patiently(source, _place(md5), target, limit)
            except errors.NotFound:
                continue
            except errors.RefmillError as error:
                failure = error
            else:
                return
        raise failure or errors.NotFound(
            text("the remotes that .dvc/config names do not have them all"),
            text("Bring them there or here with `dvc push`."),
        )

    def _patiently(self, source: _Source, place: str, target: Path, limit: int) -> None:
        for pause in (*PAUSES, None):
            try:
                source.download(place, target, limit=limit, private=self._reach == "all", stopping=self._closing.is_set)
            except errors.Unavailable:
                if pause is None or self._closing.wait(pause):
                    raise
            else:
                return


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
