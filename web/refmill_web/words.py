"""The words for states, which pages and commands have in common."""

from __future__ import annotations

from collections.abc import Mapping

from refmill.model.plans import Verdict
from refmill.model.runs import RunStatus, StageStatus
from refmill.texts import Text, text

STATES: Mapping[StageStatus | RunStatus, Text] = {
    "pending": text("pending"),
    "blocked": text("blocked"),
    "queued": text("queued"),
    "running": text("running"),
    "cached": text("cached"),
    "succeeded": text("succeeded"),
    "failed": text("failed"),
    "skipped": text("skipped"),
    "stopped": text("stopped"),
    "paused": text("paused"),
    "superseded": text("superseded"),
    "nothing": text("nothing to run"),
}
VERDICTS: Mapping[Verdict, Text] = {
    "run": text("run"),
    "cached": text("cached"),
    "later": text("later"),
    "blocked": text("blocked"),
}
