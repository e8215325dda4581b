"""Runs that wait for data: what their remotes said is told, and the remotes are asked again.

The rule to keep: a run that waits goes on by itself as soon as its data can be had; nobody has to push again.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from refmill import errors
from refmill.ports.records import Runs, RunStates, Secrets, Waiting
from refmill.ports.waking import Bell
from refmill.texts import Text, counted, text

FIRST_PAUSE, LONGEST_PAUSE = 60.0, 3600.0
"""Seconds until the remotes of a run are asked again; each pause is twice as long as the one before."""
TELL_SECONDS = 1.0
"""A run may lack thousands of objects that fail one after the other: it says so once in a while."""


@dataclass(frozen=True, slots=True)
class _Vain:
    """A run that looked in vain: when the last secret had been set, when it looks again, how long it rests then, and
    when it said so."""

    repository_id: str
    seen: int
    again: float
    pause: float
    told: float = -math.inf


class Lacking:
    """In the engine's process; for any thread. `clock` counts seconds."""

    def __init__(
        self, waiting: Waiting, runs: Runs, states: RunStates, secrets: Secrets, bell: Bell, *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._waiting, self._runs, self._states, self._secrets, self._bell = waiting, runs, states, secrets, bell
        self._clock = clock
        self._vain: dict[str, _Vain] = {}
        self._guard = threading.Lock()

    def failed(self, repository_id: str, md5: str, why: Text) -> None:
        """An object could not be fetched: every run that waits for it says why."""
        for run_id in self._waiting.lacking(repository_id, md5):
            if self._is_time(run_id, repository_id):
                self._say(run_id, why)

    def _is_time(self, run_id: str, repository_id: str) -> bool:
        """Whether the run says why; if it looks in vain for the first time, its rest begins."""
        with self._guard:
            item = self._vain.get(run_id) or self._rest(repository_id, self._changed(repository_id), FIRST_PAUSE)
            soon = self._clock() - item.told < TELL_SECONDS
            self._vain[run_id] = item if soon else replace(item, told=self._clock())
        return not soon

    def _say(self, run_id: str, why: Text) -> None:
        waits = waits_for(len(self._waiting.missing(run_id)))
        told = text("%(waits)s; looked for in vain: %(problem)s", waits=waits, problem=why)
        try:
            known = self._runs.get(run_id).explanation == told
        except errors.NotFound:  # its repository was deleted meanwhile
            return
        if not known and self._states.move(run_id, "queued", expected=("queued",), explanation=told):
            self._bell.ring(f"run:{run_id}")

    def due(self) -> Sequence[str]:
        """Runs whose remotes are to be asked again: after a pause, or as soon as a secret of the repository was set."""
        with self._guard:
            resting = dict(self._vain)
        changed = {item.repository_id: self._changed(item.repository_id) for item in resting.values()}
        found: list[str] = []
        for run_id, item in resting.items():
            seen = changed[item.repository_id]
            if self._clock() < item.again and seen == item.seen:
                continue
            lacks = bool(self._waiting.missing(run_id))
            with self._guard:
                if lacks:
                    self._vain[run_id] = self._rest(
                        item.repository_id, seen, item.pause if seen == item.seen else FIRST_PAUSE
                    )
                    found.append(run_id)
                else:
                    self._vain.pop(run_id, None)
        return found

    def _rest(self, repository_id: str, seen: int, pause: float) -> _Vain:
        return _Vain(repository_id, seen, self._clock() + pause, min(2 * pause, LONGEST_PAUSE))

    def _changed(self, repository_id: str) -> int:
        return max((item.changed for item in self._secrets.names(repository_id)), default=0)


def waits_for(missing: int) -> Text:
    """What a run says that lacks so many objects."""
    return counted(
        "waits for data: %(count)s object is missing", "waits for data: %(count)s objects are missing", missing
    )
