"""plan.json of runs below the folder of work in progress: `WORK/RUN/plan.json`, what `contract.plan` gave.

It is written once, before the run's first manifest is made, and goes with the run's folder. Beside it `made` names the
Workflows that the cluster has taken: one that is gone later was deleted there, and is not made again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refmill.clients import files

PLAN, MADE = "plan.json", "made"


def write_plan(work: Path, run_id: str, document: Mapping[str, Any]) -> None:
    """Keep plan.json of a run, whole or not at all and durable on return; one that is there stays. Raises OSError."""
    path = work / run_id / PLAN
    if path.exists():
        return
    files.make_directory(path.parent)
    # Entries may hold dates, which JSON does not know; what counts is the plan in the database.
    files.write(path, json.dumps(document, default=str).encode())


def read_plan(work: Path, run_id: str) -> dict[str, Any] | None:
    """plan.json of a run; None if there is none, or it is not whole."""
    try:
        found = json.loads((work / run_id / PLAN).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def note_made(work: Path, run_id: str, name: str) -> None:
    """Note that the cluster has taken a Workflow. Raises OSError."""
    known = made(work, run_id)
    if name not in known:
        files.write(work / run_id / MADE, "".join(f"{each}\n" for each in sorted({*known, name})).encode())


def made(work: Path, run_id: str) -> frozenset[str]:
    """The Workflows of a run that the cluster has taken."""
    try:
        return frozenset((work / run_id / MADE).read_text(encoding="utf-8").split())
    except FileNotFoundError:
        return frozenset()
