"""What tests tell at the end of a run although they passed: figures of campaigns, and the seed that they began with.

Processes that share the tests hand it to the one that writes the summary.
"""

from __future__ import annotations

import os

LINES: list[str] = []
"""Of this process, and at the end of all others."""


def seed() -> str:
    """Where everything that comes from a seed begins."""
    return f"random projects, kills and hostile things from seed {os.environ.get('REFMILL_SEED', '1')} (REFMILL_SEED)"
