"""Telling of objects that arrived: those that come together are told together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from refmill import errors


@dataclass(slots=True)
class _Group:
    md5s: list[str] = field(default_factory=list)
    told: bool = False
    failure: errors.RefmillError | None = None


class Arrivals:
    """Calls `tell` (repository id, md5s) for each object before `note` returns; while one call is under way, the
    objects that arrive gather for the next. So a run that waits for thousands costs some transactions, not thousands.
    """

    def __init__(self, tell: Callable[[str, Sequence[str]], object]) -> None:
        self._tell = tell
        self._groups: dict[str, _Group] = {}
        self._joining, self._turn = threading.Lock(), threading.Lock()

    def note(self, repository_id: str, md5: str) -> None:
        """Return when `tell` has been called with that object. Raises the RefmillError that it raised."""
        with self._joining:
            group = self._groups.setdefault(repository_id, _Group())
            group.md5s.append(md5)
        with self._turn:
            if not group.told:
                self._tell_all(repository_id, group)
        if group.failure is not None:
            raise group.failure

    def _tell_all(self, repository_id: str, group: _Group) -> None:
        with self._joining:  # from here on nobody joins it
            del self._groups[repository_id]
        group.told = True
        try:
            self._tell(repository_id, group.md5s)
        except errors.RefmillError as error:
            group.failure = error
