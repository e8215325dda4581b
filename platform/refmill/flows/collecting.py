"""Takes away objects that nothing needs any more.

The rules to keep: what a commit that any ref leads to, a run or the run-cache mentions stays; what is young stays, too;
a listing that stays keeps its files, and one that goes, goes before them. Where something cannot be read, nothing of
that repository goes. Nobody plans, records or uploads meanwhile: the platform must not run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from refmill import errors
from refmill.formats import directories
from refmill.formats.hashing import is_object_name
from refmill.ports.objects import Kept, Store
from refmill.ports.repositories import Mentions
from refmill.texts import text

DAYS = 14
"""What is younger stays in any case: somebody may have uploaded it for a commit that is still to come."""
AT_ONCE = 1000
_HASH = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")


@dataclass(frozen=True, slots=True)
class Collection:
    """What was looked at in one repository, and what of it nothing needs: numbers of objects, and bytes."""

    objects: int
    size: int
    garbage: tuple[Kept, ...]

    @property
    def garbage_size(self) -> int:
        """Bytes that nothing needs."""
        return sum(item.size for item in self.garbage)


class Collector:
    """Looks for garbage. `records` gives everything that is written down of a repository's runs, as text; `now` is the
    clock in UTC seconds."""

    def __init__(
        self, stores: Callable[[str], Store], mentions: Mentions, records: Callable[[str], Iterable[str]],
        now: Callable[[], float],
    ) -> None:  # fmt: skip
        self._stores, self._mentions, self._records, self._now = stores, mentions, records, now

    def look(self, repository_id: str, *, days: float = DAYS) -> Collection:
        """What would go. Raises WrongUse for fewer than 14 days, Damaged for a listing that cannot be read,
        Unavailable."""
        if days < DAYS:
            raise errors.WrongUse(text("what is younger than %(days)s days is never collected", days=DAYS))
        store = self._stores(repository_id)
        needed = self._mentions.of(repository_id) | store.pinned()
        for written in self._records(repository_id):
            needed.update(_HASH.findall(written))
        kept = list(store.kept())
        before = self._now() - days * 86_400

        def goes(item: Kept) -> bool:
            return item.written < before and item.name[:32] not in needed

        for item in kept:
            if item.name.endswith(".dir") and not goes(item):
                needed.update(entry.md5 for entry in directories.parse(store.read(item.name), item.name).entries)
        garbage = tuple(item for item in kept if is_object_name(item.name) and goes(item))
        return Collection(len(kept), sum(item.size for item in kept), garbage)

    def collect(self, repository_id: str, found: Collection) -> None:
        """Take away what `look` found, and what was sent long ago and never became an object. Raises Unavailable."""
        store = self._stores(repository_id)
        store.sweep(self._now() - DAYS * 86_400)
        names = [item.name for item in found.garbage]
        names.sort(key=lambda name: not name.endswith(".dir"))
        for start in range(0, len(names), AT_ONCE):
            store.remove(names[start : start + AT_ONCE])
