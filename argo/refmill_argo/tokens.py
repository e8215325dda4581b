"""Tokens of runs: what a pod shows to the platform.

`rfr_<run id>_<64 hex digits>`, the digits an HMAC of the run's id under the installation's key. Nothing is stored, and
making one again gives the same. The rule to keep: whoever takes one looks whether its run has ended, since nothing in
the token ends.
"""

from __future__ import annotations

import hashlib
import hmac
import re

PREFIX = "rfr_"
_TOKEN = re.compile(r"rfr_([0-9a-z]{1,40})_([0-9a-f]{64})\Z", re.ASCII)


def run_token(key: bytes, run_id: str) -> str:
    """The token of a run under the installation's `key`."""
    return f"{PREFIX}{run_id}_{_digits(key, run_id)}"


def run_of(key: bytes, token: str) -> str | None:
    """The id of the run whose token that is; None if it is none of this installation."""
    found = _TOKEN.match(token)
    if found is None or not hmac.compare_digest(found[2], _digits(key, found[1])):
        return None
    return found[1]


def _digits(key: bytes, run_id: str) -> str:
    return hmac.new(key, f"refmill run {run_id}".encode(), hashlib.sha256).hexdigest()
