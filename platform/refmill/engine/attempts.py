"""Where attempts lie on disk: `<work>/<run id>/<stage>-<attempt>/`, and the template of the run's checkout beside them.

A stage's part of the name is twelve digits of its address's SHA-256, so that whoever knows the address (a page, the
command line) finds the log without the plan. An attempt holds `tree` (the checkout), `home`, `tmp`, the files of its
supervisor (`spec.json` has the lock entry from before it ran), and `result.json` (what came of it). One that runs in a
pod has no checkout here; what is known of its metrics and plots lies below `figures`.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from refmill import errors
from refmill.formats import blockyaml, yamlfile
from refmill.model.pipelines import LockEntry

TEMPLATE = "template"
LOG = "log"
FIGURES = "figures"


def name(address: str, attempt: int) -> str:
    """The folder of an attempt, and its log's name in the archive (with `.log`)."""
    return f"{_digits(address)}-{attempt}"


def directory(work: Path, run_id: str, address: str, attempt: int) -> Path:
    """Where an attempt lies."""
    return work / run_id / name(address, attempt)


def figures(work: Path, run_id: str, address: str, attempt: int) -> Path:
    """Where metrics and plots lie that a pod sends while it runs the attempt, as they would lie in a checkout."""
    return work / run_id / FIGURES / name(address, attempt)


def latest(work: Path, run_id: str, address: str) -> int:
    """The highest attempt on disk that has begun, 0 if there is none."""
    digits = _digits(address)
    found = [0]
    try:
        with os.scandir(work / run_id) as entries:
            for entry in entries:
                stage, _, number = entry.name.partition("-")
                if stage == digits and number.isdigit() and os.path.exists(os.path.join(entry.path, "spec.json")):
                    found.append(int(number))
    except FileNotFoundError:
        pass
    return max(found)


def write(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Put a small file in its place whole; `durable` also through a power cut."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    temporary.rename(path)
    if not durable:
        return
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def entry_text(entry: LockEntry) -> str:
    """A lock entry to be kept. As YAML, as in dvc.lock: JSON would make strings of its dates."""
    quick = blockyaml.emit(entry)
    return blockyaml.dump(entry) if quick is None else quick


def read_entry(kept: object) -> LockEntry | None:
    """What `entry_text` gave, or None if it is not there or not whole."""
    if not isinstance(kept, str):
        return None
    try:
        quick = blockyaml.parse(kept)
        found = yamlfile.load(kept.encode(), "entry") if quick is None else quick
    except (errors.Invalid, UnicodeEncodeError):
        return None
    return found if isinstance(found, dict) else None


def read_json(path: Path) -> dict[str, Any] | None:
    """An object in JSON, or None if it is not there or not whole."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _digits(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()[:12]
