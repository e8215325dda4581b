"""Stores of repositories for tests: in a directory, and in a bucket of a real S3 server."""

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from refmill.clients.directory_store import DirectoryStore
from refmill.clients.objects import INCOMING, DirectoryRunCache
from refmill.clients.s3 import Bucket, Place, S3Objects, S3RunCache
from refmill.ports.objects import RunCache, Store


@dataclass
class Ground:
    """Stores by the name of their repository; `bucket` is what they lie in, if they do; `anew` makes one that knows
    nothing, as after a restart on another machine. What is near a bucket lies in `near`."""

    store: Callable[[str], Store]
    run_cache: Callable[[str], RunCache]
    anew: Callable[[str], Store]
    bucket: Bucket | None = None
    near: Path = Path()


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def in_bucket(place: Place, near: Path) -> Ground:
    """Stores in a bucket."""
    bucket = Bucket(place)
    bucket.prepare()
    return Ground(
        lambda name: S3Objects(bucket, f"r/{name}/", near / name),
        lambda name: S3RunCache(bucket, f"r/{name}/", near / name),
        lambda name: S3Objects(Bucket(place), f"r/{name}/", near / uuid.uuid4().hex / name),
        bucket,
        near,
    )


def in_directory(root: Path) -> Ground:
    """Stores in a directory."""

    def store(name: str) -> Store:
        return DirectoryStore(root / name)

    return Ground(store, lambda name: DirectoryRunCache(root / name, aside=root / name / INCOMING), store)
