"""What a process knows of a bucket's objects, so that a plan does not ask for each of thousands at every push."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

TRUSTED = 3600.0
"""Seconds for which it is believed that an object is still there: collection leaves alone what is younger than days."""
MOST = 200_000  # objects that a process remembers: some dozens of megabytes


class Known:
    """Sizes of objects that were there lately, by key. For any thread."""

    def __init__(self) -> None:
        self._sizes: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._guard = threading.Lock()

    def size(self, key: str) -> int | None:
        """Bytes of an object that was there lately."""
        found = self._sizes.get(key)
        return found[1] if found and time.monotonic() - found[0] < TRUSTED else None

    def note(self, key: str, size: int) -> None:
        """It is there now."""
        with self._guard:
            self._sizes.pop(key, None)
            self._sizes[key] = (time.monotonic(), size)
            while len(self._sizes) > MOST:
                self._sizes.popitem(last=False)

    def forget(self, key: str) -> None:
        """It may not be there."""
        with self._guard:
            self._sizes.pop(key, None)
