"""Takes the files of a deleted repository away, so that a crash in between leaves nothing that nobody would find.

The rule to keep: files get a name that says "gone" before the repository's row goes, and start-up removes such files.
"""

from __future__ import annotations

import logging
import secrets
import shutil
from pathlib import Path

from refmill import errors
from refmill.settings import Settings
from refmill_repos.store import BareRepositories
from refmill_web import places

LOG = logging.getLogger(__name__)
_GONE = ".gone-"


def put_away(settings: Settings, repository_id: str) -> Path:
    """Nobody finds the repository's files any more; gives where its data lies. May be called again after a crash."""
    there = places.objects(settings, repository_id)
    gone = there.with_name(f"{_GONE}{repository_id}-{secrets.token_hex(8)}")
    try:
        there.rename(gone)
    except FileNotFoundError:
        # Nothing was ever stored, or it is put away already; what is in a bucket is found by this name.
        if settings.objects:
            gone.mkdir(parents=True, exist_ok=True)
    BareRepositories(settings.path("repos")).delete(repository_id)
    return gone


def finish(settings: Settings, gone: Path) -> None:
    """Remove what was put away; what cannot be removed now goes at the next start."""
    repository_id, _, _ = gone.name.removeprefix(_GONE).rpartition("-")
    bucket = places.bucket(settings)
    if bucket is not None and repository_id:
        prefix = places.prefix(repository_id)
        try:
            bucket.remove([item.key for item in bucket.list(prefix)])
            places.leave(settings, repository_id, gone)
        except errors.Unavailable as error:
            LOG.warning("what is below %s in the bucket is removed later: %s", prefix, error)
            return
    shutil.rmtree(gone, ignore_errors=True)


def clean(settings: Settings) -> None:
    """At start-up: the data of repositories whose deletion was cut off."""
    for path in places.objects(settings, "any").parent.glob(f"{_GONE}*"):
        finish(settings, path)
