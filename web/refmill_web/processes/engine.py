"""The engine's process: settles pushes, carries out wishes, runs stages, sweeps."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from refmill import errors
from refmill.flows.control import ENDS
from refmill.flows.pages import every_run
from refmill.flows.turns import in_turns
from refmill.model.pushes import Event
from refmill.model.runs import Run, RunStatus
from refmill.texts import Text, text
from refmill_web import places, wiring
from refmill_web.monitoring.sharing import Teller
from refmill_web.processes import child
from refmill_web.wiring import Works

LOG = logging.getLogger(__name__)
TOPICS = frozenset({"events", "wishes", "objects"})
LOOK_SECONDS = 2.0
"""How often it looks without being rung for: a bell is only a hint."""
UNFINISHED: tuple[RunStatus, ...] = ("queued", "running", "paused")
FIRST_UPKEEP_SECONDS = 300.0
"""After a start: soon enough for a server that is started anew every day, late enough not to slow the start."""
LOOK_BROKEN = 10.0
"""The same while it fails, as on a full disk: the log stays readable."""
TURN_SECONDS = 2.0
"""How long pushes are settled before wishes are heard, and new pushes get their turn."""
PATIENCE = 12
"""Tries, over some hours, before an event that cannot be planned is closed."""


class Loop:
    """Looks at events, wishes and arrived data until it is told to stop."""

    def __init__(self, works: Works) -> None:
        self._works = works
        self._stopping = threading.Event()
        self._asides = works.asides
        self._left: dict[str, Callable[[Text], Text]] = {}
        self._broken = 0
        self._more = False
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
        """Newest first."""
        everywhere = [item.id for item in self._works.repositories()]
        return list(every_run(self._works.parts.records.runs, everywhere, UNFINISHED))

    def _go_on(self, run: Run, trouble: Callable[[Text], Text]) -> None:
        """Go on with a run; one that cannot fails with its reason, one that cannot now is tried again."""
        key = f"run:{run.id}"
        if self._asides.rests(key):
            return
        try:
            self._works.planner.resume(run)
        except errors.Unavailable as error:
            LOG.warning("%s has to wait: %s", run.name, error)
            self._asides.failed(key, run.repository_id, error.message, lasting=False)
            self._left[run.id] = trouble
            return
        except errors.RefmillError as error:
            self._cannot(run, trouble(error.message))
        except Exception as error:
            LOG.exception("%s cannot go on", run.name)
            self._cannot(run, trouble(text("Refmill itself failed: %(detail)s", detail=str(error)[:300])))
        self._left.pop(run.id, None)
        self._asides.well(key)

    def _cannot(self, run: Run, why: Text) -> None:
        LOG.error("%s cannot go on: %s", run.name, why)
        self._works.parts.counters.fault("run")
        kept = self._works.parts.records
        kept.states.move(run.id, "failed", expected=UNFINISHED, explanation=why)
        kept.waiting.done(run.id)
        with contextlib.suppress(errors.NotFound):
            self._works.archive(kept.runs.get(run.id))

    def run(self) -> None:
        """Until stopped."""
        bell = self._works.parts.bell
        self._upkeep.start()
        try:
            while not self._stopping.is_set():
                self._turn()
                if self._more and not self._broken:
                    continue
                bell.wait(TOPICS, LOOK_SECONDS if not self._broken else min(LOOK_SECONDS * self._broken, LOOK_BROKEN))
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
                self._works.make_room()
                self._works.upkeep.round(self._stopping.is_set)
            except Exception:
                LOG.exception("the upkeep of repositories was broken off")

    def _turn(self) -> None:
        """Each kind of work by itself: where the database or the disk refuses one, the others are tried, too."""
        wrong = 0
        for work in (self._settle_all, self._works.control.grant_all, self._go_on_all, self._sweep):
            try:
                work()
            except errors.RefmillError as error:
                wrong += 1
                LOG.warning("the engine's turn was broken off, and goes on soon: %s", error)
            except Exception:
                wrong += 1
                LOG.exception("the engine's turn was broken off, and goes on soon")
        self._broken = self._broken + 1 if wrong else 0
        self._works.parts.counters.turn(whole=not wrong)

    def _settle_all(self) -> None:
        """For a while: who has pushed thousands of branches must not keep others waiting."""
        until = time.monotonic() + TURN_SECONDS
        self._more = False
        for event in in_turns(self._works.parts.records.inbox.open()):
            if time.monotonic() > until:
                self._more = True
                return
            key = f"event:{event.id}"
            if self._asides.rests(key):
                continue
            try:
                self._works.planner.settle(event)
            except errors.Unavailable as error:
                LOG.warning("event %s has to wait: %s", event.id, error)
                self._asides.failed(key, event.repository_id, error.message, lasting=False)
            except Exception as error:  # noqa: BLE001 - the outermost loop: one bad push must not stop the others
                self._failed(key, event, error)
            else:
                self._asides.well(key)

    def _go_on_all(self) -> None:
        """Runs whose data has come, those whose remotes are asked again, and those that had to wait for a part of the
        platform."""
        kept = self._works.parts.records

        def data_came(why: Text) -> Text:
            return text("it could not go on when its data had come: %(detail)s", detail=why)

        def asked_again(why: Text) -> Text:
            return text("its remotes could not be asked again: %(detail)s", detail=why)

        due = dict.fromkeys(self._works.lacking.due(), asked_again)
        for run_id, trouble in {**due, **dict.fromkeys(kept.waiting.ready(), data_came), **self._left}.items():
            try:
                run = kept.runs.get(run_id)
            except errors.NotFound:  # its repository was deleted after the look
                self._left.pop(run_id, None)
                self._asides.well(f"run:{run_id}")
                continue
            self._go_on(run, trouble)

    def _sweep(self) -> None:
        if time.monotonic() - self._swept > self._works.parts.settings.sweep_seconds or not self._swept:
            self._works.sweeper.sweep()
            self._swept = time.monotonic()

    def _failed(self, key: str, event: Event, error: Exception) -> None:
        """Try again, later and later; then close the event, and say so to whoever asks what became of the push."""
        why = text("a push cannot be planned: %(detail)s", detail=str(error)[:300] or type(error).__name__)
        tries = self._asides.failed(key, event.repository_id, why)
        LOG.error("event %s could not be planned (%s of %s)", event.id, tries, PATIENCE, exc_info=error)
        if tries >= PATIENCE:
            note = text("this push could not be planned and was set aside: %(detail)s", detail=str(error)[:500])
            self._works.parts.records.inbox.settle(event.id, handled=True, answer=[str(note)])
            self._works.parts.counters.fault("push")
            self._works.parts.records.journal.note("", "push-set-aside", event.update.ref, detail=str(error)[:500])
            self._asides.well(key)


def main() -> None:
    """Run the loop until the parent ends."""
    settings, handed = child.begin("engine")
    works = wiring.works(wiring.parts(settings, handed["address"], "engine", child.fence(handed)))
    teller = Teller(settings.path(*places.FIGURES), works.parts.counters.registry)
    loop = Loop(works)
    signal.signal(signal.SIGTERM, loop.stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    loop.resume()
    child.ready(handed)
    loop.run()
    teller.close()
    works.elsewhere.close()
    works.engine.close()


if __name__ == "__main__":
    main()
