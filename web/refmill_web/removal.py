"""Takes the files of a deleted repository away, so that a crash in between leaves nothing that nobody would find.

The rule to keep: files get a name that says "gone" before the repository's row goes, and start-up removes such files.
"""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from refmill.settings import Settings
from refmill_repos.store import BareRepositories
from refmill_web import places

_GONE = ".gone-"


def put_away(settings: Settings, repository_id: str) -> Path:
    """Nobody finds the repository's files any more; gives where its data lies. May be called again after a crash."""
    there = places.objects(settings, repository_id)
    gone = there.with_name(f"{_GONE}{secrets.token_hex(8)}")
    try:
        there.rename(gone)
    except FileNotFoundError:
        pass  # nothing was ever stored, or it is put away already
    BareRepositories(settings.path("repos")).delete(repository_id)
    return gone


def finish(gone: Path) -> None:
    """Remove what was put away; what cannot be removed now goes at the next start."""
    shutil.rmtree(gone, ignore_errors=True)


def clean(settings: Settings) -> None:
    """At start-up: the data of repositories whose deletion was cut off."""
    for path in places.objects(settings, "any").parent.glob(f"{_GONE}*"):
        shutil.rmtree(path, ignore_errors=True)
