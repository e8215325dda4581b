"""What a server's writes are checked against, so that two never write at a time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fence:
    """What a server's transactions are checked against (see `clients.database.lease`): its `epoch`, and how many
    `seconds` a lease lasts. A transaction in which nothing is said for so long is ended by the database: who has it may
    be stopped. 0 is a lease without end, under which they are given minutes."""

    epoch: int
    seconds: float
