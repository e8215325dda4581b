"""Data of one hosted repository for another: objects are copied here, never fetched over the network."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from urllib.parse import unquote, urlsplit

from refmill import errors
from refmill.clients.addresses import loopback
from refmill.formats import directories
from refmill.ports.objects import Store
from refmill_web.gate import Gate

LOG = logging.getLogger(__name__)


class HostedImports:
    """`ports.imports.Imports` over the object store of this installation. `address` is the platform's own."""

    def __init__(self, gate: Gate, stores: Callable[[str], Store], address: str) -> None:
        self._gate, self._stores = gate, stores
        self._host = urlsplit(address).hostname or ""

    def bring(self, user: str, url: str, md5s: Iterable[str], *, into: str) -> set[str]:
        """Copy what `user` may read from the repository at `url`."""
        target, wanted = self._stores(into), set(md5s)
        named = self._named(url)
        source = self._gate.may_read(user, *named) if named else None
        if source is None:
            return target.present(wanted)
        store = self._stores(source.id)
        for md5 in wanted:
            try:
                files = (
                    {entry.md5 for entry in directories.parse(store.read(md5), md5).entries}
                    if md5.endswith(".dir")
                    else set()
                )
                self._copy(store, target, [*sorted(files), md5])
            except errors.NotFound:
                LOG.info("%s is not in %s", md5, source.full_name)
        return target.present(wanted)

    def _copy(self, source: Store, target: Store, md5s: list[str]) -> None:
        """The files first, the listing last: a listing that is there is complete."""
        there = target.present(md5s)
        for md5 in md5s:
            if md5 not in there:
                target.bring(md5, source)

    def _named(self, url: str) -> tuple[str, str] | None:
        """Owner and name of the repository of ours that `url` means, or None for a foreign address.

        Any loopback address counts as ours: the port may have changed since the import was committed, and reading is
        decided by the asker's role, not by the address.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not (
            parts.hostname == self._host or loopback(parts.hostname or "")
        ):
            return None
        steps = [unquote(step) for step in parts.path.split("/") if step]
        if len(steps) != 2:
            return None
        return steps[0], steps[1].removesuffix(".git")
