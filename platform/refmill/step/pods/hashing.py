"""MD5 as DVC names objects by it, and listings of directories as it writes them."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from typing import Any, Dict, Iterable, Tuple

CHUNK = 1 << 20  # bytes read at a time
OLD = "old-"
"""Begins the name of an object of DVC 2, whose MD5 is that of the content with the line ends of Unix, if it is text."""
LISTING = ".dir"
_NAME = re.compile(r"(?:old-)?[0-9a-f]{32}(?:\.dir)?\Z")
_TEXT = bytes(range(32, 127)) + b"\n\r\t\f\b"


def is_name(name: str) -> bool:
    """Whether it has the form of an object's name."""
    return _NAME.match(name) is not None


def new() -> Any:
    """An MD5 to be fed; it guards nothing, so that it also works where only strong digests are allowed."""
    if sys.version_info >= (3, 9):
        return hashlib.md5(usedforsecurity=False)
    return hashlib.md5()  # noqa: S324


class Digest:
    """The MD5 that an object `name` has to have."""

    def __init__(self, name: str = "") -> None:
        self._digest, self._old, self._held = new(), name.startswith(OLD), b""
        self._name = name[len(OLD) :] if self._old else name

    def update(self, data: bytes) -> None:
        """Take more of the content."""
        if not self._old:
            self._digest.update(data)
            return
        self._held += data
        while len(self._held) >= CHUNK:
            self._take(self._held[:CHUNK])
            self._held = self._held[CHUNK:]

    def fits(self) -> bool:
        """Whether all that was taken is what the name says."""
        if self._old:
            self._take(self._held)
            self._held = b""
        return bool(self._digest.hexdigest() == self._name[:32])

    def _take(self, chunk: bytes) -> None:
        """By the megabyte; where its beginning looks like text, a line's end counts as that of Unix."""
        start = chunk[:512]
        is_text = b"\0" not in start and len(start.translate(None, _TEXT)) <= 0.3 * len(start)
        self._digest.update(chunk.replace(b"\r\n", b"\n") if is_text else chunk)


def listing(files: Iterable[Tuple[str, str]]) -> bytes:
    """The object that lists a directory of (path, md5)."""
    return json.dumps([{"md5": md5, "relpath": path} for path, md5 in sorted(files)]).encode("ascii")


def parse(data: bytes, name: str) -> Dict[str, str]:
    """The files of a listing by their path, each of which stays inside and stands once. Raises ValueError."""
    items = json.loads(data)
    if not isinstance(items, list):
        raise ValueError("it is no list")
    found: Dict[str, str] = {}
    for item in items:
        path, md5 = (item.get("relpath"), item.get("md5")) if isinstance(item, dict) else (None, None)
        if not isinstance(path, str) or not isinstance(md5, str) or not is_name(md5) or md5.endswith(LISTING):
            raise ValueError("an entry lacks its path or its MD5")
        if "\0" in path or path in found or any(part in ("", ".", "..") for part in path.split("/")):
            raise ValueError("it holds a path that it must not: %s" % path[:200])
        found[path] = OLD + md5 if name.startswith(OLD) else md5
    for path in found:
        end = path.find("/")
        while end >= 0:
            if path[:end] in found:
                raise ValueError("it names %s as file and as directory" % path[:end])
            end = path.find("/", end + 1)
    return found
