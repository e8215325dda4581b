"""MD5 as DVC names objects by it, and SHA-256 of a dictionary as its run-cache names entries."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20
"""Bytes read at a time: hashlib lets other threads run meanwhile, and a megabyte makes that switch cheap."""
OLD = "old-"
"""Begins the name of an object of DVC 2, whose MD5 is that of the content with the line ends of Unix where it is text;
in its layout it lies beside `files`, not below it."""
_NAME = re.compile(r"[0-9a-f]{32}(?:\.dir)?\Z")


@dataclass(frozen=True, slots=True)
class FileHash:
    """What a file or directory holds: `md5` (ends in `.dir` for a directory's listing), `size` in bytes (of all files
    together; None if nobody counted), for a directory the number of files, for a file whether it may be executed;
    `old` is the object's name in the store where that is one of DVC 2. An `md5` that begins with `OLD` is a hash of
    DVC 2 that still stands in dvc.lock."""

    md5: str
    size: int | None
    nfiles: int | None = None
    isexec: bool = False
    old: str = ""

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> FileHash:
        """The hash that an item of a lock entry's `deps` or `outs` records; DVC 2 named no kind of hash."""
        md5: str = item["md5"]
        name = md5 if "hash" in item or md5.startswith(OLD) else OLD + md5
        return cls(name, item.get("size"), item.get("nfiles"), bool(item.get("isexec")))

    def item(self, path: str) -> dict[str, Any]:
        """The item of a lock entry that records this hash for `path`, its keys in DVC's order."""
        item: dict[str, Any] = {"path": path}
        item |= {"md5": self.md5[len(OLD) :]} if self.md5.startswith(OLD) else {"hash": "md5", "md5": self.md5}
        if self.size is not None:
            item["size"] = self.size
        if self.nfiles is not None:
            item["nfiles"] = self.nfiles
        return item | {"isexec": True} if self.isexec else item

    def recorded_by(self, item: Mapping[str, Any]) -> bool:
        """Whether `item` of a lock entry records just this."""
        name = FileHash.of(item).md5 if item.get("md5") else None
        return name == self.md5 or (name is not None and name in (self.old, OLD + self.md5))

    @property
    def is_directory(self) -> bool:
        """Whether the hash names a listing."""
        return self.md5.endswith(".dir")


def former(item: Mapping[str, Any] | None) -> str:
    """The name that DVC 2 gave to what an item of a lock entry records; "" if it is of DVC 3, or records nothing."""
    recorded = item is not None and item.get("md5") and "hash" not in item
    return FileHash.of(item).md5 if item is not None and recorded else ""


def is_object_name(md5: str) -> bool:
    """Whether `md5` has the form of an object's name: 32 lower-case hex digits, `.dir` behind them for a listing."""
    return _NAME.match(md5) is not None


def is_stored_name(name: str) -> bool:
    """Whether `name` has the form of an object's name in a store: one of today, or one of DVC 2 behind `OLD`."""
    return is_object_name(name.removeprefix(OLD))


class OldDigest:
    """MD5 as DVC 2 computed it (dvc_data.hashfile.hash.Dos2UnixHashStreamFile): by the megabyte, and where a megabyte's
    beginning looks like text, a line's end counts as that of Unix."""

    def __init__(self) -> None:
        self._digest = hashlib.md5(usedforsecurity=False)
        self._held = b""

    def update(self, data: bytes) -> None:
        """Take more of the content."""
        self._held += data
        while len(self._held) >= _CHUNK:
            self._take(self._held[:_CHUNK])
            self._held = self._held[_CHUNK:]

    def hexdigest(self) -> str:
        """The MD5 of all that was taken."""
        self._take(self._held)
        self._held = b""
        return self._digest.hexdigest()

    def _take(self, chunk: bytes) -> None:
        start = chunk[:512]
        odd = len(start.translate(None, _TEXT))
        is_text = b"\0" not in start and odd <= 0.3 * len(start)
        self._digest.update(chunk.replace(b"\r\n", b"\n") if is_text else chunk)


def old_md5_bytes(data: bytes) -> str:
    """The MD5 that DVC 2 gave to `data`."""
    digest = OldDigest()
    digest.update(data)
    return digest.hexdigest()


def old_md5(path: Path) -> str:
    """The MD5 that DVC 2 gave to the file at `path`. Raises OSError."""
    digest = OldDigest()
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


_TEXT = bytes(range(32, 127)) + b"\n\r\t\f\b"


def md5_bytes(data: bytes) -> str:
    """The MD5 of `data` in 32 hex digits."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def md5_file(path: Path) -> tuple[str, int]:
    """MD5 and size in bytes of the file at `path` (a link is followed), read in pieces. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        return md5_descriptor(descriptor)
    finally:
        os.close(descriptor)


def md5_descriptor(descriptor: int) -> tuple[str, int]:
    """MD5 and size in bytes of what is left to read from an open file."""
    digest = hashlib.md5(usedforsecurity=False)
    size = 0
    while chunk := os.read(descriptor, _CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def dict_sha256(value: Any, exclude: Collection[str] = ()) -> str:
    """SHA-256 in hex of `value` as sorted JSON without the keys in `exclude`, at any depth (dvc.utils.dict_sha256).

    Raises TypeError for values that JSON cannot hold, as DVC does.
    """
    text = json.dumps(_without(value, exclude), sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _without(value: Any, exclude: Collection[str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(item, exclude) for key, item in value.items() if key not in exclude}
    if isinstance(value, list):
        return [_without(item, exclude) for item in value]
    return value
