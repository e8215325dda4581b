"""dvc.lock and .gitignore of a working copy, kept up while a run goes on.

The rule to keep: what is written is what DVC would have written after the stages that are done, in DVC's own order of
stages, whatever the order in which they ended; and every file is replaced whole.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from refmill import errors
from refmill.engine import attempts, results
from refmill.model.pipelines import LockEntry
from refmill.model.plans import Plan
from refmill.plans import locks
from refmill.plans.decide import Memory
from refmill.ports.trees import Through, Tree
from refmill.texts import text

_SHARE = 0.1
"""Of a run's time that may go into writing these files: DVC writes all of dvc.lock after every stage, and that is most
of the time it takes on quick stages. A run that is killed before a write finds the stage in the run-cache."""


class Results:
    """What a run has given so far, and the files that say it."""

    def __init__(self, root: Path, plan: Plan, memory: Memory) -> None:
        self._root = root
        self._plan = plan
        self._memory = replace(memory, tree=_Before(memory.tree))
        self._entries: dict[str, LockEntry] = {}
        self._changed = False
        self._next = 0.0
        self.written: set[str] = set()
        """What was written, by path from the root."""

    def add(self, address: str, entry: LockEntry) -> None:
        """A stage has ended well."""
        self._entries[address] = entry
        self._changed = self._changed or entry != self._plan.pipeline.lock.get(address)

    @property
    def before(self) -> Tree:
        """The working copy as it was: a file that has been read here does not change."""
        return self._memory.tree

    @property
    def due(self) -> float | None:
        """Seconds until something is to be written, None if there is nothing."""
        return max(0.0, self._next - time.monotonic()) if self._changed else None

    def write(self, *, now: bool = False) -> None:
        """Write what has changed, if it is time to, or `now`."""
        due = self.due
        if due is None or (due and not now):
            return
        began = time.monotonic()
        wanted = results.ignoring(self._plan, self._entries, self._memory)
        wanted |= locks.merged(self._memory.tree, self._plan.pipeline, self._entries)
        for path, data in wanted.items():
            target = self._root / path
            if not target.exists() or target.read_bytes() != data:
                attempts.write(target, data, durable=False)
                self.written.add(path)
        self._changed = False
        ended = time.monotonic()
        self._next = ended + (ended - began) / _SHARE


class _Before(Through):
    """A tree whose files, once read, stay as they were: what the stages change on the way does not count.

    Without it the order of the lock's entries would be that in which the stages happened to end.
    """

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree)
        self._read: dict[str, bytes | None] = {}

    def read(self, path: str, limit: int = 64 << 20) -> bytes:
        if path not in self._read:
            try:
                self._read[path] = super().read(path, limit)
            except errors.NotFound:
                self._read[path] = None
        found = self._read[path]
        if found is None:
            raise errors.NotFound(text("%(path)s does not exist", path=path))
        return found
