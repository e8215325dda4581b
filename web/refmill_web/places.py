"""What lies where in a data directory, for every process and command that works on one. Quick to import."""

from __future__ import annotations

from pathlib import Path

from refmill.clients.bell import SocketBell
from refmill.clients.database import Records, open_records, sqlite_url
from refmill.clients.objects import DirectoryObjects, DirectoryRunCache
from refmill.engine.logs import AttemptLogs
from refmill.flows.planning import Storage
from refmill.model.runs import Run
from refmill.ports.logs import Logs
from refmill.ports.waking import Bell
from refmill.settings import Settings

RESERVED = frozenset(
    [
        "about",
        "admin",
        "api",
        "assets",
        "auth",
        "blog",
        "docs",
        "explore",
        "favicon.ico",
        "healthz",
        "help",
        "import",
        "login",
        "logout",
        "metrics",
        "mlflow",
        "new",
        "org",
        "orgs",
        "queue",
        "readyz",
        "refmill",
        "register",
        "robots.txt",
        "runs",
        "search",
        "security",
        "settings",
        "static",
        "status",
        "support",
        "terms",
        "user",
        "users",
        "ws",
    ]
)
"""First words of the platform's own addresses: no user is called so."""


def records(settings: Settings) -> Records:
    """The database of a data directory."""
    settings.data.mkdir(parents=True, exist_ok=True)
    return open_records(sqlite_url(settings.path("refmill.db")), reserved=RESERVED)


def bell(settings: Settings) -> Bell:
    """The bell of a data directory."""
    settings.path("run").mkdir(parents=True, exist_ok=True)
    return SocketBell(settings.path("run"))


def objects(settings: Settings, repository_id: str) -> Path:
    """Where a repository's data lies, in DVC's layout; a finished run's archive lies beside it."""
    return settings.path("objects", "r", repository_id)


def run_archive(settings: Settings, run: Run) -> Path:
    """Where `run.json` and the logs of a run are kept."""
    return archives(settings, run.repository_id) / str(run.number)


def archives(settings: Settings, repository_id: str) -> Path:
    """Where the archives of a repository's runs lie, each in a folder of its number."""
    return objects(settings, repository_id) / "refmill" / "runs"


def logs(settings: Settings) -> Logs:
    """What stages print and printed."""
    return AttemptLogs(settings.path("work"), lambda run: run_archive(settings, run) / "logs")


def storage(settings: Settings) -> Storage:
    """Objects and run-cache of each repository."""
    return Storage(
        lambda name: DirectoryObjects(objects(settings, name)), lambda name: DirectoryRunCache(objects(settings, name))
    )
