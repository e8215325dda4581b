"""What a pod of a run is told, and what it answers: the one place where Workflow, server and step runner meet.

A pod is given four things and no more: the platform's address, the run's id and a token of that run in its environment,
and its own number as its argument. With them it asks `GET SERVER/PATH` for its share of plan.json, which says what to
run. The step runner itself is one file out of a ConfigMap that is named by its content, mounted read-only.

    python3 RUNNER run NUMBER       the whole of a pod whose image has Python: its stages one after another
    python3 RUNNER fetch NUMBER     in an image without Python, of which `SCRIPT` is the main container: before it
    python3 RUNNER store NUMBER     and after it

A pod has one stage, or several that need nothing but each other. Each has its own attempts, log, state and lock entry,
told to the server as they come. `RETRIES` are the runner's business, in the same pod; Argo starts a pod again only when
it was lost, and the server then says what of it is done, or (`go` is false) that nothing more is to be done.

The rule to keep: this module and docs/decisions/0018 change together, and a change that an older runner would take for
something else raises `VERSION`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from refmill.model.plans import StagePlan
from refmill.model.stages import StageSettings
from refmill.ports.engines import RunOrder
from refmill_argo import packing

VERSION = 1
SERVER, RUN, TOKEN = "REFMILL_SERVER", "REFMILL_RUN", "REFMILL_TOKEN"
"""Variables of a pod: the platform's address, the run's id, the token that admits to this run's data alone."""
PARAMETER = "pod"
"""The only parameter of a pod's template: its number, counted from 1 in the order of the run's pods."""
FOLDER, KEY = "/refmill", "runner.pyz"
"""Where the step runner lies, and its name there and in its ConfigMap."""
WORK, SCRIPT = "/work", "/work/.refmill/main.sh"
"""The volume that a pod may write to, and what `fetch` leaves there for an image without Python. The script always ends
with 0, and writes how the command ended beside itself, where `store` reads it."""
DONE, FAILED, AGAIN = 0, 1, 75
"""Exit codes of the runner: every stage ended well; one failed for good, or nothing is to be done; what went wrong may
be over in another pod (EX_TEMPFAIL of sysexits.h). Argo starts a pod again after any but the first two."""


def workflow_name(run_id: str) -> str:
    """The Workflow of a run; the same run planned twice is the same Workflow."""
    return f"rf-{run_id}"


def secret_name(run_id: str) -> str:
    """The Secret with the run's token."""
    return workflow_name(run_id)


def runner_name(digest: str) -> str:
    """The ConfigMap with a step runner of that content."""
    return f"refmill-runner-{digest[:20]}"


def runner_digest() -> str:
    """The digest of this version's step runner."""
    return hashlib.sha256(packing.runner()).hexdigest()


def path(run_id: str, pod: int) -> str:
    """Where a pod asks for its share of plan.json, below the platform's address."""
    return f"/api/runs/{run_id}/pods/{pod}/plan.json"


def plan(order: RunOrder, pods: Sequence[Sequence[StagePlan]]) -> dict[str, Any]:
    """plan.json of a run as the server keeps it: what its pods run, without a secret's value and without a state."""
    settings, environments = order.settings, order.environments
    return {
        "version": VERSION,
        "run": order.run.id,
        "project": order.run.project,
        "on_error": order.on_error,
        "network": order.network,
        "environments": dict(environments),
        "rerun_on_environment_change": order.rerun_on_environment_change,
        "pods": [[_stage(item, settings[item.stage.address]) for item in pod] for pod in pods],
    }


def share(
    document: Mapping[str, Any], pod: int, states: Mapping[str, Mapping[str, Any]], *, go: bool
) -> dict[str, Any]:
    """What pod number `pod` is told. `states` are, by address, what the server adds for each stage: `attempt` (its
    number), `done` (whether it needs nothing more), `secrets` (values by variable, instead of their names)."""
    stages = [{**stage, **states.get(stage["address"], {})} for stage in document["pods"][pod - 1]]
    return {**{key: document[key] for key in ("version", "run", "project")}, "pod": pod, "go": go, "stages": stages}


def _stage(item: StagePlan, settings: StageSettings) -> dict[str, Any]:
    stage = item.stage
    return {
        "address": stage.address,
        "verdict": item.verdict,
        "commands": list(stage.commands),
        "wdir": stage.wdir,
        "env": dict(settings.env),
        "secrets": dict(settings.secrets),
        "requirements": settings.requirements,
        "retries": settings.retries,
        "timeout": settings.timeout,
        "memory": settings.memory,
        "cpu": settings.cpu,
        "pause": settings.pause,
        "deps": [{"path": dep.path, "root": dep.root} for dep in stage.deps],
        "outs": [
            {"path": out.path, "root": out.root, "cache": out.cache, "persist": out.persist, "kind": out.kind}
            for out in stage.outs
        ],
        "entry": item.entry,
    }


def encoded(content: bytes) -> str:
    """Bytes as `binaryData` of a ConfigMap and `data` of a Secret have them."""
    return base64.b64encode(content).decode()
