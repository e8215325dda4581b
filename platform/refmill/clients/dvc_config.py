"""What of DVC's configuration Refmill obeys in a working copy: where the cache is, how files are linked from it, and
whether git is told of what was written.

DVC's files are of configobj's form; the few keys are read here so that `refmill run` need not import DVC.
(Source: dvc.config.Config.LEVELS and dvc.config_schema; the later file wins.)
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

LINK_TYPES = ("reflink", "hardlink", "symlink", "copy")


@dataclass(frozen=True, slots=True)
class DvcConfig:
    """`cache` is the cache directory (with files/md5 and runs below it), `links` the ways to link in their order,
    `autostage` whether what a run writes is added to git's index."""

    cache: Path
    links: tuple[str, ...] = ("reflink", "copy")
    autostage: bool = False


def read(root: Path, environ: Mapping[str, str] = os.environ) -> DvcConfig:
    """The configuration of the project at `root`."""
    folder = root / ".dvc"
    found: dict[str, tuple[str, Path]] = {}
    for path in (*_shared(environ), folder / "config", folder / "config.local"):
        found.update({key: (value, path.parent) for key, value in _values(path)})
    directory, base = found.get("cache.dir", ("cache", folder))
    kinds = (word.strip() for word in found.get("cache.type", ("", folder))[0].split(","))
    links = tuple(kind for kind in kinds if kind in LINK_TYPES)
    autostage = found.get("core.autostage", ("", folder))[0].lower() == "true"
    return DvcConfig((base / os.path.expanduser(directory)).absolute(), links or ("reflink", "copy"), autostage)


def _shared(environ: Mapping[str, str]) -> Iterator[Path]:
    """The system's and the user's file, where platformdirs puts them for DVC."""
    if sys.platform == "darwin":
        yield Path("/Library/Application Support/dvc/config")
        default = Path.home() / "Library/Application Support"
    else:
        yield Path("/etc/xdg/dvc/config")
        default = Path.home() / ".config"
    chosen = environ.get("DVC_GLOBAL_CONFIG_DIR")
    yield Path(chosen, "config") if chosen else Path(environ.get("XDG_CONFIG_HOME") or default, "dvc", "config")


def _values(path: Path) -> Iterator[tuple[str, str]]:
    """Keys, behind their section's name and a dot, and values."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    section = ""
    for line in (raw.strip() for raw in lines):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
        elif "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            yield f"{section}.{key.strip()}", value.strip().strip("'\"")
