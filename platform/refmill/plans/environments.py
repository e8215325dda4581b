"""What a plan says of a result that was made in another environment than today's.

DVC does not look at what a stage's command runs in, so neither does its run-cache. A result carries the digest of its
environment (`refmill.plans.digests`). Where that is no longer today's, a plan says so, or (`rerunOnEnvironmentChange`)
the digest counts as one more input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from refmill.model.pipelines import LockEntry
from refmill.model.plans import Plan, Reason, StagePlan
from refmill.model.runs import Made
from refmill.texts import text

PARTS = ("image", "requirements", "env", "secrets")
"""What a digest is made of, in its order, named as the keys of refmill.yaml."""


def changed(entry: LockEntry, made: Sequence[Made], today: str) -> Reason | None:
    """Why `entry` is not a result of today's environment; None if it is one, or if nobody knows where it was made.

    `made` are recorded results for the same inputs, the newest last.
    """
    outs = _outs(entry)
    recorded = [item.environment for item in made if _outs(item.entry) == outs]
    if not today or not recorded or today in recorded:
        return None
    pairs = zip(PARTS, recorded[-1].split(":"), today.split(":"), strict=False)
    parts = ", ".join(name for name, old, new in pairs if old != new)
    message = text("its environment changed since the recorded result: %(parts)s", parts=parts)
    return Reason("environment", message, parts, recorded[-1], today)


def noted(item: StagePlan, made: Sequence[Made], today: str) -> StagePlan:
    """A cached stage's plan with a note before its other reasons, if its result is not of today's environment."""
    found = changed(item.entry, made, today)
    return item if found is None else replace(item, reasons=(found, *item.reasons))


def stale(plan: Plan) -> list[str]:
    """Addresses of the stages that are cached although their environment changed."""
    return [
        item.stage.address
        for item in plan.stages
        if item.verdict == "cached" and any(reason.kind == "environment" for reason in item.reasons)
    ]


def _outs(entry: LockEntry) -> dict[str, Any]:
    return {out["path"]: out.get("md5") for out in entry.get("outs", ())}
