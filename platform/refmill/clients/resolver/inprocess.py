"""Checks in the caller's own process: for the command line in the user's own working copy, and for tests."""

from __future__ import annotations

from collections.abc import Callable

from refmill.clients import dvc_parsing
from refmill.clients.git_ignored import git_ignored
from refmill.model.placement import Allowed
from refmill.ports.resolver import Checked, Source
from refmill.ports.trees import Tree


class DirectResolver:
    """The `Resolver` port without a server: no limits but those of the readers themselves."""

    def __init__(
        self, open_tree: Callable[[Source], Tree], *, max_stages: int = 5000, containers: bool = False,
        allowed: Allowed | None = None,
    ) -> None:  # fmt: skip
        self._open_tree = open_tree
        self._max_stages = max_stages
        self._containers = containers
        self._allowed = allowed

    def check(self, source: Source) -> Checked:
        """All problems at once. Raises what `open_tree` raises."""
        tree = self._open_tree(source)
        ignored = None if source.commit else git_ignored(source.path / source.project)

        def check(files: Tree) -> Checked:
            return dvc_parsing.check(
                files, max_stages=self._max_stages, containers=self._containers, ignored=ignored, allowed=self._allowed
            )

        if not source.words:
            return check(tree)
        from refmill.clients import dvc_overrides  # noqa: PLC0415 - Hydra is slow to import, and few need it

        return dvc_overrides.checked(tree, source.words, check)
