"""The engine's process: settles pushes, carries out wishes, runs stages, sweeps."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import FrameType

from refmill import errors
from refmill.flows.control import ENDS
from refmill.flows.planning import sweep
from refmill.model.runs import Run, RunStatus
from refmill.texts import Text, text
from refmill_web import wiring
from refmill_web.processes import child
from refmill_web.wiring import Works

LOG = logging.getLogger(__name__)
TOPICS = frozenset({"events", "wishes", "objects"})
LOOK_SECONDS = 2.0
"""How often it looks without being rung for: a bell is only a hint."""
UNFINISHED: tuple[RunStatus, ...] = ("queued", "running", "paused")
PAGE = 1000
"""How many runs the index gives at a time."""
FIRST_UPKEEP_SECONDS = 300.0
"""After a start: soon enough for a server that is started anew every day, late enough not to slow the start."""
PATIENCE = 3
"""Tries before an event that cannot be planned is set aside, so that one bad push never stops the others."""


class Loop:
    """Looks at events, wishes and arrived data until it is told to stop."""

    def __init__(self, works: Works) -> None:
        self._works = works
        self._stopping = threading.Event()
        self._failures: Counter[int] = Counter()
        self._swept = 0.0
        self._upkeep = threading.Thread(target=self._look_after, name="upkeep")

    def stop(self, number: int, frame: FrameType | None) -> None:
        """As a signal handler: end after what is being done."""
        self._stopping.set()
        self._works.parts.bell.ring("events")

    def resume(self) -> None:
        """Go on with every run that was under way when the last process ended."""
        unfinished = self._unfinished()
        self._works.engine.clean(run.id for run in unfinished)
        ending = {run_id for run_id, wish in self._works.parts.records.states.wishes() if wish in ENDS}
        for run in reversed(unfinished):
            self._go_on(run, lambda why: text("it could not go on after a restart: %(detail)s", detail=why))
            if run.id in ending:  # at once: what its stop had ended already would else be taken for a failure
                self._works.engine.stop(run.id)

    def _unfinished(self) -> list[Run]:
        """Newest first. A list has an end, so it is asked for again from where it ended."""
        everywhere = [item.id for item in self._works.repositories()]
        found: dict[str, Run] = {}
        before: int | None = None
        while True:
            page = self._works.parts.records.runs.list(everywhere, statuses=UNFINISHED, limit=PAGE, before=before)
            new = [run for run in page if run.id not in found]
            found.update({run.id: run for run in new})
            if not new:
                return list(found.values())
            before = new[-1].created + 1

    def _go_on(self, run: Run, trouble: Callable[[Text], Text]) -> None:
        try:
            self._works.planner.resume(run)
        except errors.RefmillError as error:
            LOG.error("%s cannot go on: %s", run.name, error)  # noqa: TRY400 - the message says it all
            why = trouble(error.message)
            self._works.parts.records.states.move(run.id, "failed", expected=UNFINISHED, explanation=why)
            self._works.parts.records.waiting.done(run.id)
            with contextlib.suppress(errors.NotFound):
                self._works.archive(self._works.parts.records.runs.get(run.id))

    def run(self) -> None:
        """Until stopped."""
        bell = self._works.parts.bell
        self._upkeep.start()
        try:
            while not self._stopping.is_set():
                self._turn()
                bell.wait(TOPICS, LOOK_SECONDS)
        finally:
            self._stopping.set()
            self._upkeep.join()

    def _look_after(self) -> None:
        """In a thread of its own, since packing a large repository takes minutes."""
        period = self._works.parts.settings.upkeep_seconds
        pause = min(period, FIRST_UPKEEP_SECONDS)
        while period and not self._stopping.wait(pause):
            pause = period
            try:
                self._works.upkeep.round(self._stopping.is_set)
            except Exception:
                LOG.exception("the upkeep of repositories was broken off")

    def _turn(self) -> None:
        for event in self._works.parts.records.inbox.open():
            try:
                self._works.planner.settle(event)
            except Exception as error:  # noqa: BLE001 - the outermost loop: one bad push must not stop the others
                self._failed(event.id, error)
        self._works.control.grant_all()
        for run_id in self._works.parts.records.waiting.ready():
            with contextlib.suppress(errors.NotFound):  # its repository was deleted after the look
                run = self._works.parts.records.runs.get(run_id)
                self._go_on(run, lambda why: text("it could not go on when its data had come: %(detail)s", detail=why))
        if time.monotonic() - self._swept > self._works.parts.settings.sweep_seconds or not self._swept:
            self._swept = time.monotonic()
            with contextlib.suppress(errors.NotFound):  # likewise; the next sweep sees the others
                sweep(self._works.parts.records.catalogue, self._works.parts.refs, self._works.parts.records.inbox)

    def _failed(self, event_id: int, error: Exception) -> None:
        self._failures[event_id] += 1
        LOG.exception(
            "event %s could not be planned (%s of %s)", event_id, self._failures[event_id], PATIENCE, exc_info=error
        )
        if self._failures[event_id] >= PATIENCE:
            note = text("this push could not be planned and was set aside: %(detail)s", detail=str(error)[:500])
            self._works.parts.records.inbox.settle(event_id, handled=True, answer=[str(note)])


def main() -> None:
    """Run the loop until the parent ends."""
    settings, handed = child.begin("engine")
    works = wiring.works(wiring.parts(settings, handed["address"]))
    loop = Loop(works)
    signal.signal(signal.SIGTERM, loop.stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    loop.resume()
    child.ready(handed)
    loop.run()
    works.elsewhere.close()
    works.engine.close()


if __name__ == "__main__":
    main()
