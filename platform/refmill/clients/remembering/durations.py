"""How long each stage took when it last ran here: what an estimate is made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from refmill.clients import files


class Durations:
    """Seconds by address, in the JSON file `file`."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def load(self) -> dict[str, float]:
        """What is known; nothing if the file cannot be used."""
        try:
            found = json.loads(self._file.read_bytes())
            return {str(address): float(seconds) for address, seconds in found.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def note(self, new: Mapping[str, float]) -> None:
        """Add or replace some."""
        if not new:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with files.replacing(self._file) as temporary:
                temporary.write_text(json.dumps(self.load() | {key: round(value, 3) for key, value in new.items()}))
        except OSError:
            return  # the copy may only be read: nothing ran there either
