"""Stands before what it counts, and changes nothing of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from refmill import errors
from refmill.model.pipelines import LockEntry
from refmill.model.pushes import RefUpdate
from refmill.model.runs import RUN_ENDED, Run, RunStatus, StageRun, StageStatus
from refmill.ports.engines import Listener
from refmill.ports.records import Expected, Runs, RunStates
from refmill.texts import Text
from refmill_repos.gate import Push, PushListener, Verdict
from refmill_web.monitoring.counters import Counters


class CountedStates:
    """`ports.records.RunStates`: counts ends of runs and stages."""

    def __init__(self, states: RunStates, runs: Runs, counters: Counters) -> None:
        self._states, self._runs, self._counters = states, runs, counters

    def move(
        self, run_id: str, status: RunStatus, *, expected: Iterable[RunStatus], explanation: Text | None = None,
        finished: int | None = None,
    ) -> bool:  # fmt: skip
        moved = self._states.move(run_id, status, expected=expected, explanation=explanation, finished=finished)
        if moved and status in RUN_ENDED:
            try:
                self._counters.run_ended(self._runs.get(run_id))
            except errors.RefmillError:  # it is deleted, or the database is away now: its end is stored all the same
                pass
        return moved

    def end_of(self, run: Run) -> int:
        return self._states.end_of(run)

    def set_stage(self, run_id: str, stage: StageRun, *, expected: Iterable[StageStatus] = ()) -> bool:
        return self._noted([stage], told=self._states.set_stage(run_id, stage, expected=expected))

    def set_stages(
        self, run_id: str, stages: Sequence[StageRun], *, expected: Mapping[str, Expected] | None = None
    ) -> bool:
        return self._noted(stages, told=self._states.set_stages(run_id, stages, expected=expected))

    def _noted(self, stages: Sequence[StageRun], *, told: bool) -> bool:
        if told:
            for stage in stages:
                self._counters.stage_told(stage)
        return told

    def set_experiment(self, run_id: str, name: str) -> None:
        self._states.set_experiment(run_id, name)

    def ask(self, run_id: str, wish: str, words: Sequence[str] = ()) -> None:
        self._states.ask(run_id, wish, words)

    def words(self, run_id: str, wish: str) -> tuple[str, ...]:
        return self._states.words(run_id, wish)

    def wishes(self) -> Sequence[tuple[str, str]]:
        return self._states.wishes()

    def grant(self, run_id: str, wish: str) -> None:
        self._states.grant(run_id, wish)


class CountedEnds:
    """`ports.engines.Listener`: counts runs that failed and none of whose stages is to blame."""

    def __init__(self, listener: Listener, counters: Counters) -> None:
        self._listener, self._counters = listener, counters

    def stages(self, run_id: str, stages: Sequence[StageRun]) -> None:
        self._listener.stages(run_id, stages)

    def waits(self, run_id: str, stages: Sequence[str]) -> None:
        self._listener.waits(run_id, stages)

    def ended(
        self, run_id: str, status: Literal["succeeded", "failed", "stopped"], files: Mapping[str, bytes],
        entries: Mapping[str, LockEntry], explanation: Text | None = None, *, fault: bool = False,
    ) -> None:  # fmt: skip
        self._listener.ended(run_id, status, files, entries, explanation, fault=fault)
        if fault:
            self._counters.fault("run")


class CountedPushes:
    """`refmill_repos.gate.PushListener`: counts pushes and how long they are checked."""

    def __init__(self, listener: PushListener, counters: Counters) -> None:
        self._listener, self._counters = listener, counters

    def before(self, push: Push) -> Verdict:
        began = time.monotonic()
        try:
            verdict = self._listener.before(push)
        except errors.RefmillError:
            self._counters.push_ended("refused")
            raise
        finally:
            self._counters.push_checked(time.monotonic() - began)
        if not verdict.accepted:
            self._counters.push_ended("refused")
        return verdict

    def after(self, ticket: Any, landed: tuple[RefUpdate, ...]) -> Iterable[str]:
        self._counters.push_ended("taken")
        return self._listener.after(ticket, landed)

    def failed(self, ticket: Any) -> None:
        self._counters.push_ended("failed")
        self._listener.failed(ticket)
