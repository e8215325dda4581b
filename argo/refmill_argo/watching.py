"""Keeps up with the cluster's pods or Workflows: lists them once, then hears of changes, and lists them again now and
then, so that a change that was not told costs nothing.

The rule to keep: what is here may be late, but never goes back: after an answer of the cluster about one object that is
newer, put it in here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from refmill import errors
from refmill_argo.cluster import Cluster, Kind, Thing

LOG = logging.getLogger(__name__)
FIRST, LAST = 0.5, 15.0  # seconds before the cluster is asked again after it did not answer


class Seen(Protocol):
    """What is kept of an object."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def run(self) -> str:
        """The run that it belongs to."""


T = TypeVar("T", bound=Seen)


class Watching(Generic[T]):
    """The objects of `kind` with the labels `selector`, as `read` understands them (None: not ours). `news(run id)` is
    called after something changed; every `relist` seconds all are listed."""

    def __init__(
        self, cluster: Cluster, kind: Kind, selector: str, read: Callable[[Thing], T | None],
        news: Callable[[str], None], *, relist: float,
    ) -> None:  # fmt: skip
        self._cluster, self._kind, self._selector, self._read, self._news = cluster, kind, selector, read, news
        self._relist = relist
        self._guard = threading.Lock()
        self._found: dict[str, dict[str, T]] = {}
        self._run_of: dict[str, str] = {}
        self._versions: dict[str, int] = {}
        self._known = threading.Event()
        self._over = threading.Event()
        self.trouble: str = ""
        self._thread = threading.Thread(target=self._keep_up, name=f"refmill-watch-{kind.plural}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Begin nothing more; a conversation under way is cut off when the process ends."""
        self._over.set()

    @property
    def known(self) -> bool:
        """Whether everything has been listed once."""
        return self._known.is_set()

    def of(self, run_id: str) -> list[T]:
        """What there is of a run."""
        with self._guard:
            return list(self._found.get(run_id, {}).values())

    def all(self) -> list[T]:
        """What there is at all."""
        with self._guard:
            return [item for found in self._found.values() for item in found.values()]

    def put(self, thing: Thing) -> T | None:
        """Note an object as the cluster has just told it."""
        item = self._read(thing)
        if item is None:
            return None
        with self._guard:
            version = _version(thing)
            if version < self._versions.get(item.name, 0):
                return self._found.get(item.run, {}).get(item.name)
            self._versions[item.name] = version
            before = self._found.setdefault(item.run, {}).get(item.name)
            self._found[item.run][item.name] = item
            self._run_of[item.name] = item.run
        if before != item:
            self._news(item.run)
        return item

    def drop(self, name: str) -> None:
        """An object is no more."""
        with self._guard:
            run = self._run_of.pop(name, None)
            self._versions.pop(name, None)
            if run is None:
                return
            self._found[run].pop(name, None)
            if not self._found[run]:
                del self._found[run]
        self._news(run)

    def _keep_up(self) -> None:
        pause, listed, version = FIRST, float("-inf"), ""
        while not self._over.is_set():
            try:
                if not version or time.monotonic() - listed > self._relist:
                    version = self._list()
                    listed = time.monotonic()
                self.trouble = ""
                version = self._listen(version, listed + self._relist)
                pause = FIRST
                continue
            except errors.NotFound as error:  # it does not remember that version, or has no such objects
                LOG.info("%s are listed again: %s", self._kind.plural, error)
                version = ""
            except errors.RefmillError as error:
                if not self.trouble:
                    LOG.warning("%s cannot be watched now: %s", self._kind.plural, error)
                self.trouble = str(error)
            except Exception:
                LOG.exception("watching %s failed, and begins again", self._kind.plural)
                version = ""
            self._over.wait(pause)
            pause = min(pause * 2, LAST)

    def _list(self) -> str:
        listing = self._cluster.list(self._kind, self._selector)
        names = set()
        for thing in listing.things:
            item = self.put(thing)
            names.add(item.name if item is not None else "")
        with self._guard:
            upto = int(listing.version) if listing.version.isdecimal() else 0
            gone = [name for name in self._run_of if name not in names and self._versions.get(name, 0) <= upto]
        for name in gone:
            self.drop(name)
        self._known.set()
        return listing.version

    def _listen(self, version: str, until: float) -> str:
        """Hear of changes; gives the version up to which nothing was missed."""
        for change in self._cluster.watch(self._kind, self._selector, version):
            version = str(change.thing.get("metadata", {}).get("resourceVersion") or version)
            if change.what == "DELETED":
                self.drop(str(change.thing["metadata"]["name"]))
            elif change.what != "BOOKMARK":
                self.put(change.thing)
            if self._over.is_set() or time.monotonic() > until:
                break
        return version


def _version(thing: Thing) -> int:
    """Versions are opaque by the book; since Kubernetes 1.35 it says that they are numbers that grow."""
    written = str(thing.get("metadata", {}).get("resourceVersion", ""))
    return int(written) if written.isdecimal() else 0
