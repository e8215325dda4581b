"""The desk that answers pods, with everything it needs of this platform, and what a run's token opens beside it."""

from __future__ import annotations

import functools
from urllib.parse import quote

from refmill import errors, specs
from refmill.clients.database import Records
from refmill.flows.planning import Storage
from refmill.formats import directories
from refmill.model.runs import Run
from refmill.ports.records import Catalogue, Runs
from refmill.ports.repositories import Repositories
from refmill.ports.waking import Bell
from refmill.settings import Settings
from refmill.texts import text
from refmill_argo import proxies, tokens
from refmill_argo.desk import Desk, Parts, living
from refmill_repos.gate import Admission, Service
from refmill_web import gate, local_engine, places


def address(settings: Settings, own: str) -> str:
    """Where pods reach the platform, which people reach at `own`."""
    return settings.argo_pods_url.rstrip("/") or own


def make(
    settings: Settings, *, records: Records, storage: Storage, repositories: Repositories, bell: Bell, own: str
) -> Desk:
    """The desk. `own` is the platform's address."""
    base = address(settings, own)

    def addresses(run: Run) -> tuple[str, str]:
        return f"{base}/{quote(run.repository)}.dvc", f"{base}/api/runs/{run.id}/pods"

    return Desk(
        Parts(
            work=settings.path("work"),
            key=places.key(settings),
            runs=records.runs,
            states=records.states,
            history=records.history,
            memory=local_engine.remembering(storage, records.history.made, repositories),
            repository=repositories.path,
            secrets=lambda run, names: records.secrets.values(run.repository_id, names),
            keep=functools.partial(places.keep_log, settings),
            addresses=addresses,
            bell=bell,
            index=settings.argo_index,
            proxy=proxies.proxy(settings, base, own),
            stage_memory=int(specs.quantity(settings.stage_memory)),
            bounds=local_engine.bounds(settings),
            files=settings.stage_files or directories.MAX_FILES,
        )
    )


class RunGate:
    """Admits tokens of runs to the data of their own run's repository, as long as the run has not ended."""

    def __init__(self, key: bytes, runs: Runs, catalogue: Catalogue, repositories: Repositories) -> None:
        self._key, self._runs, self._catalogue, self._repositories = key, runs, catalogue, repositories

    @staticmethod
    def knows(authorization: str | None) -> bool:
        """Whether somebody comes with what looks like a token of a run."""
        return _token(authorization).startswith(tokens.PREFIX)

    def admit(self, owner: str, name: str, service: Service, authorization: str | None) -> Admission:
        """Raises Unauthorized for what is no token, Gone where its run has ended, NotFound for other repositories."""
        run_id = tokens.run_of(self._key, _token(authorization))
        if run_id is None:
            raise errors.Unauthorized(text("this is no token of a run"))
        run = living(self._runs, run_id)
        repository = self._catalogue.find(owner, name)
        if repository is None or repository.id != run.repository_id:
            raise errors.NotFound(text("the token of a run opens its own repository's data alone"))
        return Admission(repository.id, run.created_by, self._repositories.path(repository.id), run=run.id)


def _token(authorization: str | None) -> str:
    """The token in a header, "" where there is none."""
    try:
        name, secret = gate.credentials(authorization or "")
    except errors.Unauthorized:
        return ""
    return secret or name
