"""Putting the hooks where git can run them: a wheel keeps no executable bit."""

from __future__ import annotations

import os
import secrets
from importlib import resources
from pathlib import Path

NAMES = ("pre-receive", "post-receive")


def install(folder: Path) -> Path:
    """Write the hooks into `folder` (for `core.hooksPath`), each whole or not at all; gives `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    script = resources.files("refmill_repos.hooks").joinpath("relay.sh").read_bytes()
    for name in NAMES:
        made = folder / f".{name}-{secrets.token_hex(8)}"
        fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755)
        with os.fdopen(fd, "wb") as file:
            file.write(script)
        made.chmod(0o755)
        made.replace(folder / name)
    return folder
