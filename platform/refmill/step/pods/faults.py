"""What ends an attempt or a whole pod before its time."""

from __future__ import annotations

DONE, FAILED, AGAIN = 0, 1, 75
"""Exit codes; the page on plan.json (docs/decisions/0018) says what Argo makes of them."""


class AttemptFailed(Exception):
    """The attempt is over: `reason` is a word that the server knows, `detail` says more to people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class PodOver(Exception):
    """The pod ends with exit code `code`."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class Stopped(Exception):
    """Somebody wants an end of this pod."""
