"""A push: which refs moved, who moved them, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

EventState: TypeAlias = Literal["announced", "landed", "handled", "void"]
"""announced = pre-receive saw it; landed = the ref moved; handled = planned; void = git refused it after all."""

ZERO = "0" * 40


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """One ref's move; `old` or `new` is 40 zeros where the ref is created or deleted."""

    ref: str
    old: str
    new: str

    @property
    def branch(self) -> str | None:
        """The branch's short name, or None if this is no branch."""
        return self.ref.removeprefix("refs/heads/") if self.ref.startswith("refs/heads/") else None

    @property
    def deletes(self) -> bool:
        """Whether the ref goes away."""
        return self.new == ZERO


@dataclass(frozen=True, slots=True)
class Event:
    """One announced ref update, durable before git answers. Times are UTC microseconds."""

    id: int
    repository_id: str
    update: RefUpdate
    pusher: str
    state: EventState
    created: int
    options: tuple[str, ...] = ()
    run_id: str | None = None
    answer: tuple[str, ...] = ()
