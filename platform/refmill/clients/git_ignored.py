"""What git ignores in a working copy."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

_SECONDS = 30.0


def git_ignored(root: Path) -> Callable[[str], bool]:
    """Tells for a path below the working copy `root` (a directory's ends in "/") whether git ignores it, as DVC asks
    when it looks for its files; nothing is ignored where there is no git."""
    listing = ["git", "-C", str(root), "ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z"]
    try:
        done = subprocess.run(listing, capture_output=True, check=False, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return lambda _: False
    found = {name.decode("utf-8", "surrogateescape") for name in done.stdout.split(b"\0") if name}
    return found.__contains__
