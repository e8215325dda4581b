"""The end of attempts and of runs: logs that a pod could not finish, and the results that belong into git."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from refmill import errors
from refmill.engine import attempts, logs, results
from refmill.engine.holding import held
from refmill.engine.progress import WELL
from refmill.model.pipelines import LockEntry
from refmill.model.runs import Run, StageRun
from refmill.ports.engines import RunOrder
from refmill.texts import Text, text
from refmill_argo import notes
from refmill_argo.judging import Reword, Write
from refmill_argo.parts import Parts
from refmill_argo.sights import MAIN

LOG = logging.getLogger(__name__)
_LINE = re.compile(rb"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z (.*)$")


def end_attempt(parts: Parts, run: Run, step: Write) -> tuple[StageRun, ...]:
    """End an attempt whose runner cannot: its paper first, so that pods and engine say the same of it; then its log,
    with what the pod printed beyond what it sent. Gives the states to be stored."""
    state = step.states[0]
    with held(parts.work / run.id / f"{attempts.name(state.address, 0)}.lock"):
        mine = notes.place(parts.work, run.id, state.address, state.attempt)
        over = mine.over()
        if over is None:
            over = notes.Over(step.reason, state, step.states[1].attempt if len(step.states) > 1 else None)
            mine.end(over)
        if step.pod and not mine.closed:
            _complete(parts, mine.folder, step.pod)
        mine.put_away(run, over.state, parts.keep)
    return over.states


def reword(parts: Parts, run: Run, step: Reword) -> StageRun:
    """Give an attempt that has ended the reason that it ended for; its paper first, by which it is not done again."""
    state = step.state
    with held(parts.work / run.id / f"{attempts.name(state.address, 0)}.lock"):
        mine = notes.place(parts.work, run.id, state.address, state.attempt)
        over = mine.over()
        if over is not None:
            mine.end(replace(over, state=state))
    return state


def _complete(parts: Parts, folder: Path, pod: str) -> None:
    """Append what the pod printed after the last line that it sent."""
    try:
        printed = parts.cluster.log(pod, MAIN)
        known = logs.read(folder / attempts.LOG, start=-1, limit=1, complete=True).lines
        last = known[-1].time if known else 0
        with (folder / attempts.LOG).open("ab") as file:
            for line in printed.split(b"\n"):
                found = _LINE.match(line)
                if found is None:
                    continue
                stamp = found[1] + (found[2] or b".0")[:7].ljust(7, b"0") + b"Z"
                if logs.parse(stamp + b" o x\n", 1).time > last:
                    file.write(stamp + b" o " + found[3] + b"\n")
    except (errors.RefmillError, OSError) as error:
        LOG.info("what %s printed is not kept: %s", pod, error)


def entries(order: RunOrder, rows: Mapping[str, StageRun]) -> dict[str, LockEntry]:
    """The lock entries of all finished stages, by address."""
    found = {item.stage.address: item.entry for item in order.plan.stages if item.verdict == "cached"}
    for address, row in rows.items():
        if row.status in WELL and row.entry is not None:
            found[address] = row.entry
    return found


def files(parts: Parts, order: RunOrder, found: Mapping[str, LockEntry]) -> dict[str, bytes]:
    """The small results of a run that succeeded, which belong into git. Raises RefmillError."""
    return results.files(order.plan, found, parts.memory(order.run))


def explanation(blamed: StageRun | None) -> Text | None:
    """Why a run failed."""
    if blamed is None or blamed.explanation is None:
        return None
    return text("%(address)s %(why)s", address=blamed.address, why=blamed.explanation)
