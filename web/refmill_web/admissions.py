"""Who was let in a moment ago need not be looked up again: `dvc push` asks once or twice for every file."""

from __future__ import annotations

import hashlib
import time

from refmill_repos.gate import Admission, Gate, Service

SECONDS = 1.0
"""How long a role or a token that was taken back may still open the data remote."""
KEPT = 4096
"""Admissions remembered at the most: more people do not ask within a second."""


class RecentAdmissions:
    """A gate in front of another one, with an answer for those whom that one has just let in. Refusals are not kept."""

    def __init__(self, gate: Gate, *, seconds: float = SECONDS) -> None:
        self._gate, self._seconds = gate, seconds
        self._admitted: dict[bytes, tuple[float, Admission]] = {}

    def admit(self, owner: str, name: str, service: Service, authorization: str | None) -> Admission:
        """Let somebody in, or raise what the other gate raises."""
        key = hashlib.sha256(repr((owner, name, service, authorization)).encode()).digest()  # keeps no password
        now = time.monotonic()
        until, admission = self._admitted.get(key, (0.0, None))
        if admission is None or until < now:
            admission = self._gate.admit(owner, name, service, authorization)
            if len(self._admitted) >= KEPT:
                self._admitted.clear()
            self._admitted[key] = (now + self._seconds, admission)
        return admission
