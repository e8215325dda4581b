"""What the pages need from the rest of Refmill, as ports; the composition root fills it in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from flask import Flask, current_app

from refmill.clients.packed import PackedEnvironments
from refmill.model.asides import Aside
from refmill.ports.experiments import Experiments
from refmill.ports.logs import Logs
from refmill.ports.objects import Objects
from refmill.ports.records import Catalogue, Journal, People, Profiles, RunHistory, Runs, RunStates, Secrets, Sessions
from refmill.ports.repositories import Refs, Repositories
from refmill.ports.resolver import Resolver
from refmill.ports.waking import Bell
from refmill.settings import Settings
from refmill.texts import Text
from refmill_argo.desk import Desk
from refmill_repos.history import Comparison, Row

KEY = "refmill"


class Past(Protocol):
    """A repository's past, in bounds; `refmill_repos.history.History` answers it."""

    def folder(self, repository_id: str, revision: str, path: str = "") -> Sequence[Row]:
        """A folder's entries, directories first, each with its last commit. Raises NotFound."""

    def diff(self, repository_id: str, old: str | None, new: str) -> Comparison:
        """What changed from `old` (None: from nothing) to `new`. Raises NotFound."""

    def diff_of(self, repository_id: str, revision: str) -> Comparison:
        """What a commit changed against its first parent. Raises NotFound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that a page may ask. `objects` gives the store of a repository by its id, `packed` the environments
    that pods left there, `aside` what the engine set aside of it; `desk` answers pods; `ready` names the parts that do
    not answer now (none = the platform is ready), `figures` what Prometheus reads and its media type, which is
    one of those that it accepts if it can be, `unboxed` says what follows where no sandbox works."""

    settings: Settings
    people: People
    profiles: Profiles
    sessions: Sessions
    journal: Journal
    secrets: Secrets
    catalogue: Catalogue
    runs: Runs
    states: RunStates
    history: RunHistory
    repositories: Repositories
    refs: Refs
    past: Past
    resolver: Resolver
    experiments: Experiments
    bell: Bell
    logs: Logs
    objects: Callable[[str], Objects]
    desk: Desk
    packed: Callable[[str], PackedEnvironments]
    aside: Callable[[str], Sequence[Aside]]
    ready: Callable[[], Sequence[str]]
    figures: Callable[[Collection[str]], tuple[bytes, str]]
    unboxed: Callable[[], Text | None] = lambda: None


def services_of(app: Flask) -> Services:
    """The services of an application."""
    return cast(Services, app.extensions[KEY])


def services() -> Services:
    """The services of the application that answers this request."""
    return services_of(current_app)
