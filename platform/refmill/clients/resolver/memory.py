"""What commits said, as long as a later commit gives the same answers to the same questions.

A push mostly changes code, data or a text that no pipeline reads: then the pipeline is what it was. As in a working
copy (`refmill.clients.remembering`) nothing is assumed about which files matter: every question that the resolver put
to the files of a commit is put to those of the next one, which git's object ids answer without reading a file. This
memory is that of one process, so that it ends with the version that made it.

The rule to keep: the questions come out of a child that has read a stranger's files. They may spoil what is said of
that repository's own commits, which its pushers may change anyway; never that of another one.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from refmill import errors
from refmill.clients.remembering import resolution
from refmill.clients.resolver.client import Answer
from refmill.ports.resolver import Checked, Source
from refmill.ports.trees import Tree

BYTES = 32 << 20  # of answers and questions as JSON, all repositories together; in memory they are some times as much
LARGEST = 4 << 20  # bytes of one; some ten thousand stages
EACH = 3  # answers of one repository: branches that people work on side by side
COMMITS = 1000  # commits of one answer that are known to give it
_Place: TypeAlias = tuple[Path, str]
"""A repository, and a project in it."""


class Asking(Protocol):
    """A resolver that tells what it asked."""

    def ask(self, source: Source) -> Answer:
        """See SocketResolver."""


@dataclass(slots=True)
class _Kept:
    """An answer, and the commits that are known to give it."""

    checked: Checked
    questions: Mapping[str, Any]
    size: int
    commits: set[str]


class RememberingResolver:
    """The `Resolver` port; for any thread. `open_tree` opens the files of a commit."""

    def __init__(self, resolver: Asking, open_tree: Callable[[Source], Tree]) -> None:
        self._resolver = resolver
        self._open_tree = open_tree
        self._kept: OrderedDict[_Place, list[_Kept]] = OrderedDict()  # the place asked for last comes last
        self._size = 0
        self._guard = threading.Lock()

    def check(self, source: Source) -> Checked:
        """All problems at once. Raises Unavailable if the resolver is silent, NotFound for an unknown source."""
        if not source.commit or source.words:  # other parameters are tried once
            return self._resolver.ask(source).checked
        place = (source.path, source.project)
        with self._guard:
            known = list(self._kept.get(place, ()))
        for kept in known:
            if source.commit in kept.commits:
                return kept.checked
        if known and (found := self._alike(source, known)) is not None:
            with self._guard:
                if len(found.commits) >= COMMITS:
                    found.commits.clear()
                found.commits.add(source.commit)
            return found.checked
        answer = self._resolver.ask(source)
        self._keep(place, source.commit, answer)
        return answer.checked

    def _alike(self, source: Source, known: list[_Kept]) -> _Kept | None:
        try:
            tree = self._open_tree(source)
            return next((kept for kept in known if resolution.same(kept.questions, tree, _nothing)), None)
        except (errors.RefmillError, KeyError, TypeError, AttributeError, ValueError):
            return None  # the resolver says what is wrong, or the questions were none

    def _keep(self, place: _Place, commit: str, answer: Answer) -> None:
        size = answer.size + len(answer.questions)
        if not answer.questions or size > LARGEST:
            return
        try:
            questions = json.loads(answer.questions)
        except (ValueError, RecursionError):
            return
        kept = _Kept(answer.checked, questions, size, {commit})
        with self._guard:
            found = self._kept.pop(place, [])
            self._kept[place] = [kept, *found][:EACH]
            self._size += size - sum(item.size for item in found[EACH - 1 :])
            while self._size > BYTES:
                _, gone = self._kept.popitem(last=False)
                self._size -= sum(item.size for item in gone)


def _nothing(_path: str) -> bool:
    """A hosted repository has no files that git ignores."""
    return False
