"""A namespace in memory behind the engine's port: versions, watches that end, selectors, merge patches."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from refmill import errors
from refmill.texts import text
from refmill_argo.cluster import PODS, Change, Kind, Listing, Thing


class FakeCluster:
    """`away` makes every question fail as where the API server does not answer; `forget` loses the past of watches;
    `lose` swallows the news of so many changes; `refuses` are words with which manifests are refused."""

    def __init__(self) -> None:
        self.things: dict[tuple[str, str], dict[str, Any]] = {}
        self.logs: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.away = False
        self.lose = 0
        self.refuses = ""
        self._version = 100
        self._oldest = 0
        self._past: list[tuple[int, str, Change]] = []
        self._watchers: list[tuple[str, queue.SimpleQueue[Change | None]]] = []
        self._guard = threading.RLock()

    def get(self, kind: Kind, name: str) -> Thing:
        self._ask(f"get {kind.plural} {name}")
        with self._guard:
            if (kind.plural, name) not in self.things:
                raise errors.NotFound(text("the cluster refused it: %(detail)s", detail=name))
            return self.things[kind.plural, name]

    def create(self, kind: Kind, manifest: str) -> Thing:
        thing = yaml.safe_load(manifest)
        name = thing["metadata"]["name"]
        self._ask(f"create {kind.plural} {name}")
        if self.refuses:
            raise errors.WrongUse(text("the cluster refused it: %(detail)s", detail=self.refuses))
        with self._guard:
            if (kind.plural, name) in self.things:
                raise errors.Conflict(text("the cluster refused it: %(detail)s", detail=name))
            thing["metadata"]["uid"] = f"uid-{self._version}"
            return self._store(kind, name, thing, "ADDED")

    def patch(self, kind: Kind, name: str, change: Thing) -> Thing:
        self._ask(f"patch {kind.plural} {name}")
        with self._guard:
            old = self.get(kind, name)
            wanted = change.get("metadata", {}).get("resourceVersion")
            if wanted is not None and wanted != old["metadata"]["resourceVersion"]:
                raise errors.Conflict(text("the cluster refused it: %(detail)s", detail=name))
            return self._store(kind, name, merged(old, change), "MODIFIED")

    def delete(self, kind: Kind, name: str) -> None:
        self._ask(f"delete {kind.plural} {name}")
        with self._guard:
            thing = self.things.pop((kind.plural, name), None)
            if thing is not None:
                self._tell(
                    kind, "DELETED", {**thing, "metadata": {**thing["metadata"], "resourceVersion": self._next()}}
                )

    def list(self, kind: Kind, selector: str) -> Listing:
        self._ask(f"list {kind.plural}")
        with self._guard:
            found = [
                thing
                for (plural, _), thing in self.things.items()
                if plural == kind.plural and matches(thing, selector)
            ]
            return Listing(tuple(found), str(self._version))

    def watch(self, kind: Kind, selector: str, version: str) -> Iterator[Change]:
        self._ask(f"watch {kind.plural} {version}")
        with self._guard:
            if int(version) < self._oldest:
                raise errors.NotFound(text("the cluster refused it: %(detail)s", detail="too old"))
            news: queue.SimpleQueue[Change | None] = queue.SimpleQueue()
            for at, plural, change in self._past:
                if at > int(version) and plural == kind.plural:
                    news.put(change)
            self._watchers.append((kind.plural, news))
        while (change := news.get()) is not None:
            if change.what == "BOOKMARK" or matches(change.thing, selector):
                yield change

    def log(self, pod: str, container: str) -> bytes:
        self._ask(f"log {pod}")
        if pod not in self.logs:
            raise errors.NotFound(text("the cluster refused it: %(detail)s", detail=pod))
        return self.logs[pod]

    # What a test does to it.

    def put(self, kind: Kind, name: str, thing: Mapping[str, Any]) -> None:
        """Something in the cluster makes or changes an object."""
        with self._guard:
            what = "MODIFIED" if (kind.plural, name) in self.things else "ADDED"
            self._store(kind, name, {**thing, "metadata": {**thing.get("metadata", {}), "name": name}}, what)

    def change(self, kind: Kind, name: str, change: Mapping[str, Any]) -> None:
        """Something in the cluster changes an object."""
        with self._guard:
            self._store(kind, name, merged(self.things[kind.plural, name], change), "MODIFIED")

    def hang_up(self, *, forget: bool = False) -> None:
        """All watches end; with `forget` they cannot go on from where they were."""
        with self._guard:
            watchers, self._watchers = self._watchers, []
            if forget:
                self._next()
                self._oldest = self._version
                self._past = []
        for _, news in watchers:
            news.put(None)

    def pod(self, name: str, run: str, number: int, again: int = 0, **status: Any) -> None:
        """A pod of a run as Argo makes them."""
        labels = {"refmill.dev/run": run, "refmill.dev/pod": str(number), "refmill.dev/installation": "here"}
        known = self.things.get((PODS.plural, name), {}).get("metadata", {})
        metadata = {
            "labels": labels, "creationTimestamp": known.get("creationTimestamp", "2026-11-26T12:00:00Z"),
            "annotations": {"workflows.argoproj.io/node-name": f"rf-{run}.s{number:04d}({again})"},
        }  # fmt: skip
        self.put(PODS, name, {"metadata": metadata, "status": status})

    def _ask(self, question: str) -> None:
        self.asked.append(question)
        if self.away:
            raise errors.Unavailable(text("the cluster does not answer: %(detail)s", detail="away"))

    def _next(self) -> str:
        self._version += 1
        return str(self._version)

    def _store(self, kind: Kind, name: str, thing: dict[str, Any], what: str) -> Thing:
        stored = {**thing, "metadata": {**thing["metadata"], "resourceVersion": self._next()}}
        self.things[kind.plural, name] = stored
        self._tell(kind, what, stored)
        return stored

    def _tell(self, kind: Kind, what: Any, thing: Thing) -> None:
        if self.lose:
            self.lose -= 1
            return
        change = Change(what, thing)
        self._past.append((self._version, kind.plural, change))
        for plural, news in self._watchers:
            if plural == kind.plural:
                news.put(change)


def merged(old: Any, change: Any) -> Any:
    """A JSON merge patch."""
    if not isinstance(change, Mapping):
        return change
    found = dict(old) if isinstance(old, Mapping) else {}
    for key, value in change.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


def matches(thing: Mapping[str, Any], selector: str) -> bool:
    """Whether an object has these labels."""
    labels = thing["metadata"].get("labels", {})
    return all(
        labels.get(key) == value for key, _, value in (item.partition("=") for item in selector.split(",") if item)
    )
