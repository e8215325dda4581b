"""What of a finished run outlives the database: `run.json` and the logs, beside the repository's objects."""

from __future__ import annotations

import os
from pathlib import Path

from refmill.clients.codec import to_json
from refmill.clients.database import Records
from refmill.model.runs import Run
from refmill.settings import Settings
from refmill_web import places


def keep(settings: Settings, records: Records, run: Run) -> None:
    """Write the archive of a run that is about to be called ended; again is no error."""
    target = places.run_archive(settings, run)
    target.mkdir(parents=True, exist_ok=True)
    _write(target / "run.json", to_json({
        "run": records.runs.get(run.id), "stages": list(records.runs.stages(run.id)), "plan": records.runs.plan(run.id),
    }))  # fmt: skip


def _write(path: Path, content: str) -> None:
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
