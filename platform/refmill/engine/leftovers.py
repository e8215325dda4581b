"""Runs that nobody carries out any more: ends what still runs of them, and takes their folders away.

The rule to keep: a folder goes only when nothing that was started in it lives.
"""

from __future__ import annotations

import time
from pathlib import Path

from refmill.engine import checkouts, supervision
from refmill.engine.supervision import Supervisors

LOOK = 0.1  # seconds between two looks at supervisors that were told to stop
PATIENCE = 30.0  # seconds; they themselves give up on stubborn processes after fifteen


def end(folder: Path) -> bool:
    """End the processes of the run in `folder`, and take it away. False if something of it lives on."""
    if not folder.is_dir():
        return True
    places = [place for place in folder.iterdir() if (place / "lock").exists()]
    for place in places:
        supervision.stop(place)
    until = time.monotonic() + PATIENCE
    while any(supervision.signs(place) == "alive" for place in places):
        if time.monotonic() > until:
            return False
        time.sleep(LOOK)
    supervisors = Supervisors()
    lost = [place for place in places if supervision.signs(place) == "lost"]
    if [place for place in lost if not supervisors.reap(place)]:
        return False
    checkouts.remove(folder)
    return True
