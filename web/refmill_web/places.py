"""What lies where in a data directory, for every process and command that works on one. Quick to import."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from refmill import errors
from refmill.clients import codec, files, s3
from refmill.clients.bell import SocketBell
from refmill.clients.database import Leases, Records, installation_key, open_records, server_url, sqlite_url
from refmill.clients.directory_store import DirectoryStore
from refmill.clients.objects import INCOMING, DirectoryRunCache
from refmill.clients.packed import PackedEnvironments
from refmill.clients.run_files import RunFiles
from refmill.engine import attempts, cgroups
from refmill.engine.logs import AttemptLogs
from refmill.flows.planning import Storage
from refmill.flows.upkeep import Reckoning
from refmill.model.asides import Aside
from refmill.model.fences import Fence
from refmill.model.runs import Run
from refmill.ports.blobs import Blobs
from refmill.ports.logs import Logs
from refmill.ports.objects import HostedRunCache, Store
from refmill.ports.waking import Bell
from refmill.quantities import quantity
from refmill.settings import DATABASE, Settings
from refmill.texts import text

FORSAKEN_DAYS = 7
"""After which nobody goes on with what people began to send in parts."""
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


SECRETS_KEY = "secrets.key"
"""Encrypts repositories' secrets and makes the tokens of runs; whoever copies the database elsewhere takes it along by
another way."""
ASIDE, UPKEEP, GROUPS = ("run", "aside.json"), ("run", "upkeep.json"), ("run", "groups.json")
FIGURES = ("run", "figures.sock")
"""Where the engine tells what it counted."""
ADDRESS = ("run", "address.json")
"""Where a platform says how it is reached; what stands there outlives it."""


def address(settings: Settings) -> str:
    """Where people reach the platform, as it was at its last start; "" if it has never been started."""
    return str(_told(settings).get("address", ""))


def parent(settings: Settings) -> int:
    """The number of the platform's first process, as it was at its last start; 0 if it has never been started."""
    try:
        return int(_told(settings).get("pid", 0))
    except (ValueError, TypeError):
        return 0


def _told(settings: Settings) -> dict[str, Any]:
    """What the platform said of itself at its last start; {} if it has never been started."""
    try:
        found = json.loads(settings.path(*ADDRESS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def make(settings: Settings) -> bool:
    """Make the data directory if it is not there; True if it was not. Raises WrongUse if it cannot be made."""
    remedy = text("Name another with --data DIR, or export REFMILL_DATA=DIR.")
    try:
        settings.data.mkdir(parents=True)
    except OSError as error:
        if not settings.data.is_dir():
            why = error.strerror or str(error)
            refusal = text(
                "the data directory %(data)s cannot be made: %(detail)s", data=str(settings.data), detail=why
            )
            raise errors.WrongUse(refusal, remedy) from error
        if not os.access(settings.data, os.W_OK | os.X_OK):
            refusal = text("the data directory %(data)s cannot be written to", data=str(settings.data))
            raise errors.WrongUse(refusal, remedy) from error
        return False
    return True


def records(settings: Settings, fence: Fence | None = None) -> Records:
    """The database of a data directory, made if there is none; a server writes under a `fence`. Raises WrongUse if the
    directory cannot be made."""
    make(settings)
    url = server_url(settings.database) if settings.database else sqlite_url(settings.path(DATABASE))
    return open_records(url, reserved=RESERVED, key_file=settings.path(SECRETS_KEY), fence=fence)


def leases(settings: Settings) -> Leases | None:
    """The row that says which server may write; None with SQLite, where the data directory's lock says it. Raises
    WrongUse."""
    if not settings.database:
        return None
    return Leases(server_url(settings.database), patience=max(1.0, settings.lease_seconds / 4))


def key(settings: Settings) -> bytes:
    """The installation's secret key, made if there is none."""
    make(settings)
    return installation_key(settings.path(SECRETS_KEY))


def bell(settings: Settings) -> Bell:
    """The bell of a data directory."""
    settings.path("run").mkdir(parents=True, exist_ok=True)
    return SocketBell(settings.path("run"))


def objects(settings: Settings, repository_id: str) -> Path:
    """Where a repository's data lies on the disk, in DVC's layout; a finished run's archive lies beside it. With an S3
    store these are copies of what was used lately."""
    return settings.path("objects", "r", repository_id)


@functools.cache
def _bucket(settings: Settings) -> s3.Bucket:
    return s3.Bucket(
        s3.place(
            settings.objects, endpoint=settings.s3_endpoint, region=settings.s3_region,
            credentials=settings.s3_credentials, style=settings.s3_style, encryption=settings.s3_encryption,
            kms_key=settings.s3_kms_key, ca=settings.s3_ca, create=settings.s3_create_bucket,
            public=settings.s3_public, part=int(quantity(settings.s3_part)),
        )
    )  # fmt: skip


def bucket(settings: Settings) -> Blobs | None:
    """The bucket that holds the objects; None where the data directory does. Raises WrongUse."""
    return _bucket(settings) if settings.objects else None


def prefix(repository_id: str) -> str:
    """Where a repository's data lies in a bucket."""
    return f"r/{repository_id}/"


def store(settings: Settings, repository_id: str) -> Store:
    """A repository's objects."""
    root = objects(settings, repository_id)
    if not settings.objects:
        return DirectoryStore(root)
    return s3.S3Objects(_bucket(settings), prefix(repository_id), root)


def forsake(settings: Settings, over: Callable[[str], bool]) -> None:
    """Give up what runs that are over sent in parts and never settled, and what people began to send days ago. Raises
    Unavailable."""
    if not settings.objects:
        return
    old = time.time() - FORSAKEN_DAYS * 86_400
    for folder in objects(settings, "any").parent.glob("[!.]*/refmill/parts"):
        repository_id = folder.parent.parent.name
        store(settings, repository_id).forsake(lambda run, began: began < old or (run != "" and over(run)))


def leave(settings: Settings, repository_id: str, near: Path) -> None:
    """The same of a repository that is deleted, whose copies lie in `near` now."""
    if settings.objects:
        s3.S3Objects(_bucket(settings), prefix(repository_id), near).forsake(lambda *_: True)


def run_cache(settings: Settings, repository_id: str) -> HostedRunCache:
    """A repository's run-cache."""
    root = objects(settings, repository_id)
    if not settings.objects:
        return DirectoryRunCache(root, aside=root / INCOMING)
    return s3.S3RunCache(_bucket(settings), prefix(repository_id), root)


def make_room(settings: Settings) -> None:
    """Take away copies of objects that nobody used for long, where they take up too much of the disk."""
    if settings.objects:
        s3.trim(settings.path("objects", "r"), int(quantity(settings.object_cache)))


def store_failures(settings: Settings) -> int:
    """How often the bucket could not be used by this process."""
    return _bucket(settings).failures if settings.objects else 0


def archives(settings: Settings, repository_id: str) -> RunFiles:
    """The archives of a repository's runs: `run.json` and the logs."""
    root = objects(settings, repository_id)
    return RunFiles(
        root / "refmill" / "runs", bucket(settings), f"{prefix(repository_id)}refmill/runs/", aside=root / INCOMING
    )


def packed(settings: Settings, repository_id: str) -> PackedEnvironments:
    """Environments that pods of a repository's runs have made."""
    root = objects(settings, repository_id)
    return PackedEnvironments(
        root / "refmill" / "environments", bucket(settings), f"{prefix(repository_id)}refmill/environments/",
        aside=root / INCOMING,
    )  # fmt: skip


def keep_log(settings: Settings, run: Run, address: str, attempt: int, log: Path) -> None:
    """Have the finished log of an attempt in the archive of its run. Raises OSError."""
    name = f"logs/{attempts.name(address, attempt)}.log"
    with archives(settings, run.repository_id).new(run.number, name) as new:
        if not files.link(log, new):
            files.copy(log, new)
        files.sync(new)


def logs(settings: Settings) -> Logs:
    """What stages print and printed."""
    return AttemptLogs(
        settings.path("work"),
        lambda run: archives(settings, run.repository_id).folder(run.number) / "logs",
        lambda run, name: archives(settings, run.repository_id).near(run.number, f"logs/{name}"),
    )


def asides(settings: Settings) -> Sequence[Aside]:
    """What the engine has set aside; nothing if it has not said so."""
    try:
        return codec.from_json(tuple[Aside, ...], settings.path(*ASIDE).read_bytes())
    except (OSError, errors.Damaged):
        return ()


def keep_asides(settings: Settings, found: Sequence[Aside]) -> None:
    """Note what is set aside. On a full disk nobody is told by this, but the log has it."""
    with contextlib.suppress(OSError):
        files.write(settings.path(*ASIDE), codec.to_json(tuple(found)).encode())


def groups(settings: Settings, *, move: bool = True) -> cgroups.Groups:
    """The control groups that this process can give to stages; see `cgroups.find`."""
    digits = hashlib.sha256(os.fsencode(settings.data.resolve())).hexdigest()[:12]
    return cgroups.find(settings.cgroup, f"refmill-{digits}", move=move)


def keep_groups(settings: Settings, found: cgroups.Groups) -> None:
    """Note which control groups the engine uses: another process, in another group, would find others."""
    with contextlib.suppress(OSError):
        files.write(settings.path(*GROUPS), codec.to_json(found).encode())


def groups_in_use(settings: Settings) -> cgroups.Groups | None:
    """Those that the engine noted at its start; None if it has not."""
    try:
        return codec.from_json(cgroups.Groups, settings.path(*GROUPS).read_bytes())
    except (OSError, errors.Damaged):
        return None


def reckoning(settings: Settings) -> Reckoning | None:
    """When the last upkeep was."""
    try:
        return codec.from_json(Reckoning, settings.path(*UPKEEP).read_bytes())
    except (OSError, errors.Damaged):
        return None


def keep_reckoning(settings: Settings, found: Reckoning) -> None:
    """Note when the upkeep was; without room for that the process remembers it."""
    with contextlib.suppress(OSError):
        files.write(settings.path(*UPKEEP), codec.to_json(found).encode())


def storage(settings: Settings) -> Storage:
    """Objects and run-cache of each repository; what is on its way into them lies in a folder that a start empties."""
    return Storage(functools.partial(store, settings), functools.partial(run_cache, settings))
