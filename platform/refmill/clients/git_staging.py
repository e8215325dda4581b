"""git's index of a working copy."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from refmill import errors
from refmill.texts import text


def stage(root: Path, paths: Iterable[str]) -> None:
    """`git add` files, by their paths from the directory `root`; nothing where there is no git. Raises Unavailable with
    what git says."""
    listed = b"".join(os.fsencode(path) + b"\0" for path in sorted(set(paths)))
    if not listed or not any((place / ".git").exists() for place in (root, *root.parents)):
        return
    command = ["git", "-C", str(root), "--literal-pathspecs", "add", "--pathspec-from-file=-", "--pathspec-file-nul"]
    done = subprocess.run(command, input=listed, capture_output=True, check=False)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip()
        raise errors.Unavailable(text("git does not take the results into its index: %(reason)s", reason=reason))
