"""Finds branch tips that no event covers (a crash, a ref moved by hand, a database from before) and makes their events.

The rule to keep: what is found is told: in the log, in the journal, on the page of the run that comes of it. A
repository that cannot be read stops no other.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from refmill import errors
from refmill.flows.asides import Asides
from refmill.flows.planning import EVERYWHERE, SWEPT
from refmill.model.people import Repository
from refmill.model.pushes import ZERO, RefUpdate
from refmill.ports.records import Catalogue, Inbox, Journal
from refmill.ports.repositories import Refs
from refmill.texts import text

LOG = logging.getLogger(__name__)
AT_ONCE = 1000
"""Tips that are written down together: nobody else writes meanwhile."""
MANY = 20
"""Tips that a line of the journal names."""


class Sweeper:
    """Looks at all repositories. What fails is noted in `asides`."""

    def __init__(self, *, catalogue: Catalogue, refs: Refs, inbox: Inbox, journal: Journal, asides: Asides) -> None:
        self._catalogue, self._refs, self._inbox, self._journal = catalogue, refs, inbox, journal
        self._asides = asides

    def sweep(self) -> int:
        """One round; how many tips were found. Raises Unavailable if the database does not answer."""
        found = 0
        known = {event.repository_id for event in self._inbox.open()}
        for repository in self._catalogue.visible(EVERYWHERE):
            key = f"sweep:{repository.id}"
            if repository.id in known or self._asides.rests(key):
                continue
            try:
                found += self._one(repository)
            except errors.Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - one repository must stop no other, whatever is wrong with it
                self._trouble(key, repository, error)
            else:
                self._asides.well(key)
        return found

    def _one(self, repository: Repository) -> int:
        handled = self._inbox.handled_tips(repository.id)
        tips = self._refs.list(repository.id)
        self._look_for_faults(repository, tips)
        updates = [
            RefUpdate(ref, handled.get(ref) or ZERO, tip) for ref, tip in tips.items() if handled.get(ref) != tip
        ]
        if not updates:
            return 0
        LOG.warning(
            "%s: %d branch tips that no push told of: %s", repository.full_name, len(updates),
            ", ".join(f"{update.ref} {update.new[:12]}" for update in updates[:MANY]),
        )  # fmt: skip
        tips_told = {update.ref: update.new for update in updates[:MANY]}
        self._journal.note("", "found-by-comparing", repository.full_name, count=len(updates), tips=tips_told)
        for start in range(0, len(updates), AT_ONCE):
            some = updates[start : start + AT_ONCE]
            events = self._inbox.announce(repository.id, repository.owner, some, (SWEPT,))
            self._inbox.land([event.id for event in events])
        return len(updates)

    def _look_for_faults(self, repository: Repository, tips: Mapping[str, str]) -> None:
        """What is wrong is told and set aside under a name of its own: the branches that can be read go on."""
        key = f"refs:{repository.id}"
        if self._asides.rests(key):
            return
        faults = self._refs.faults(repository.id, tips)
        for fault in faults[:MANY]:
            LOG.error("%s: %s", repository.full_name, fault)
        if faults:
            self._asides.failed(key, repository.id, faults[0])
        else:
            self._asides.well(key)

    def _trouble(self, key: str, repository: Repository, error: Exception) -> None:
        try:
            self._catalogue.get(repository.id)
        except errors.NotFound:  # deleted after the look
            self._asides.well(key)
            self._asides.well(f"refs:{repository.id}")
            return
        detail = str(error)[:300] or type(error).__name__
        LOG.error("%s cannot be compared with its pushes: %s", repository.full_name, detail)
        why = text("its branches cannot be compared with its pushes: %(detail)s", detail=detail)
        self._asides.failed(key, repository.id, why)
