"""One cluster a machine: its addresses and cgroups have fixed names. A folder below /run holds the lock and the record."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from cluster.errors import ClusterError

FOLDER = Path("/run/refmill-cluster")
RECORD = FOLDER / "record.json"
OWNER = FOLDER / "owner"


@dataclass(frozen=True, slots=True)
class Record:
    """What is running, or was when its `up` was killed."""

    home: str
    """The folder of the running cluster: `down` takes it away."""
    first: int = 0
    """The process that holds the namespaces."""
    ready: bool = False


def write(record: Record) -> None:
    """Renamed into place, so that nobody reads half of it."""
    scratch = RECORD.with_suffix(".new")
    scratch.write_text(json.dumps(asdict(record)), encoding="utf-8")
    scratch.rename(RECORD)


def read() -> Record | None:
    """What was written last, if there is anything."""
    try:
        return Record(**json.loads(RECORD.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


@contextmanager
def alone() -> Iterator[None]:
    """Nobody else starts or ends a cluster meanwhile; raises ClusterError where somebody does."""
    if os.geteuid() != 0:
        raise ClusterError("it takes root to start and end the test cluster")
    lock = _locked()
    try:
        OWNER.write_text(str(os.getpid()), encoding="utf-8")
        yield
    finally:
        OWNER.unlink(missing_ok=True)
        if read() is None:
            shutil.rmtree(FOLDER)
        os.close(lock)


def _locked() -> int:
    """The locked folder. Whoever held it before may have taken it away meanwhile, then it is a new one."""
    while True:
        FOLDER.mkdir(parents=True, exist_ok=True)
        lock = os.open(FOLDER, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_ino == FOLDER.stat().st_ino:
                return lock
        except BlockingIOError as error:
            os.close(lock)
            raise ClusterError(f"process {_owner()} is starting or ending the test cluster just now") from error
        except FileNotFoundError:
            pass
        os.close(lock)


def _owner() -> str:
    try:
        return OWNER.read_text(encoding="utf-8")
    except OSError:
        return "?"
