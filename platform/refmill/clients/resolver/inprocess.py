"""Checks in the caller's own process: for the command line in the user's own working copy, and for tests."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from refmill.clients import dvc_parsing
from refmill.ports.resolver import Checked, Source
from refmill.ports.trees import Tree

_GIT_SECONDS = 30.0


class DirectResolver:
    """The `Resolver` port without a server: no limits but those of the readers themselves."""

    def __init__(
        self, open_tree: Callable[[Source], Tree], *, max_stages: int = 5000, containers: bool = False
    ) -> None:
        self._open_tree = open_tree
        self._max_stages = max_stages
        self._containers = containers

    def check(self, source: Source) -> Checked:
        """All problems at once. Raises what `open_tree` raises."""
        tree = self._open_tree(source)
        ignored = None if source.commit else git_ignored(source.path / source.project)
        return dvc_parsing.check(tree, max_stages=self._max_stages, containers=self._containers, ignored=ignored)


def git_ignored(root: Path) -> Callable[[str], bool]:
    """Tells for a path below the working copy `root` (a directory's ends in "/") whether git ignores it, as DVC asks
    when it looks for its files; nothing is ignored where there is no git."""
    listing = ["git", "-C", str(root), "ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z"]
    try:
        done = subprocess.run(listing, capture_output=True, check=False, timeout=_GIT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return lambda _: False
    found = {name.decode("utf-8", "surrogateescape") for name in done.stdout.split(b"\0") if name}
    return found.__contains__
