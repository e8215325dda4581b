"""What the git server asks its surroundings: who may enter, and what to do with a push."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from refmill.model.pushes import RefUpdate
from refmill.texts import Text

Service: TypeAlias = Literal["read", "write"]


@dataclass(frozen=True, slots=True)
class Admission:
    """Leave to enter: the repository's id, the user's name ("" for somebody not signed in), and where it lies. `moved`
    is told to a pusher who came by a former address; who only reads may go on using it. `run` is the run whose token
    somebody came with."""

    repository_id: str
    user: str
    path: Path
    moved: Text | None = None
    run: str = ""


class Gate(Protocol):
    """Knows users, repositories and roles."""

    def admit(self, owner: str, name: str, service: Service, authorization: str | None) -> Admission:
        """Let somebody in, or raise Unauthorized (git then asks for a password), Forbidden, NotFound or another
        RefmillError. `authorization` is the header as sent. A `write` to what does not exist may create it."""


@dataclass(frozen=True, slots=True)
class Push:
    """A push whose refs have not moved yet; its new objects lie in `quarantine` (None: it brings none)."""

    repository_id: str
    user: str
    updates: tuple[RefUpdate, ...]
    options: tuple[str, ...] = ()
    quarantine: Path | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a push is taken, the lines its pusher reads, and a `ticket` that comes back to the listener."""

    accepted: bool
    lines: tuple[str, ...] = ()
    ticket: Any = None


class PushListener(Protocol):
    """Is told of each push, in a thread of that push. A RefmillError from `before` refuses the push with its text."""

    def before(self, push: Push) -> Verdict:
        """In pre-receive: take or refuse the whole push."""

    def after(self, ticket: Any, landed: tuple[RefUpdate, ...]) -> Iterable[str]:
        """In post-receive: the refs in `landed` have moved (git may refuse some of those announced, when somebody else
        was faster). The lines are sent to the pusher as they come."""

    def failed(self, ticket: Any) -> None:
        """An accepted push ended without moving any ref."""
