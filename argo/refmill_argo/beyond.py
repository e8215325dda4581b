"""What the cluster does not show of Workflows: asked of the Argo Server, where there is one.

The rule to keep: a run goes on without it. What the server cannot tell now is not known, as if nobody had asked.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from refmill import errors
from refmill_argo import sights
from refmill_argo.cluster import Archive, Thing
from refmill_argo.sights import Node, WorkflowSight

LOG = logging.getLogger(__name__)


class Beyond:
    """Asks `archive`; None where none is set."""

    def __init__(self, archive: Archive | None) -> None:
        self._archive = archive
        self._nodes: dict[str, tuple[str, tuple[Node, ...]]] = {}
        self._ended: dict[str, WorkflowSight] = {}
        self._said: dict[str, str] = {}

    def whole(self, item: WorkflowSight) -> WorkflowSight:
        """A Workflow with its nodes, if Argo has them in its database and they are to be had. They are asked for once
        in each of their versions."""
        if not (item.unreadable and item.offloaded):
            return item
        version, nodes = self._nodes.get(item.name, ("", ()))
        if version != item.offloaded:
            thing = self._asked(item.name)
            found = sights.workflow(thing) if thing is not None else None
            if found is None or found.unreadable or found.uid != item.uid:
                return item
            nodes = found.nodes
            self._nodes[item.name] = (item.offloaded, nodes)
        return replace(item, nodes=nodes, unreadable=False)

    def ended(self, name: str, run_id: str) -> WorkflowSight | None:
        """A Workflow that is no more on the cluster, as Argo has archived it after its end."""
        if name not in self._ended:
            thing = self._asked(name) if self._archive is not None else None
            found = sights.workflow(thing) if thing is not None else None
            if found is None or found.name != name or found.run != run_id or not found.over or found.unreadable:
                return None
            self._ended[name] = found
        return self._ended[name]

    def forget(self, names: Iterable[str]) -> None:
        """These Workflows are not asked for any more."""
        for name in names:
            self._nodes.pop(name, None)
            self._ended.pop(name, None)
            self._said.pop(name, None)

    def _asked(self, name: str) -> Thing | None:
        if self._archive is None:
            self._say(name, "Argo keeps its nodes in a database, and no argo_server is set")
            return None
        try:
            thing = self._archive.workflow(name)
        except errors.NotFound:
            return None
        except errors.RefmillError as error:
            self._say(name, str(error))
            return None
        self._said.pop(name, None)
        return thing

    def _say(self, name: str, why: str) -> None:
        """Each look asks anew, and one line tells as much as a thousand."""
        if self._said.get(name) != why:
            LOG.warning("what Argo keeps of %s in its database is not known: %s", name, why)
            self._said[name] = why
