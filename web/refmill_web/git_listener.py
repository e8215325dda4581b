"""Hands a push from the git server to the flow that receives it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from refmill.flows.receive import NOTHING, Push, Reception, Said
from refmill.model.pushes import RefUpdate
from refmill_repos import gate as git


@dataclass(frozen=True, slots=True)
class Ticket:
    """What comes back after git has moved the refs."""

    push: Push
    events: tuple[int, ...]
    said: Said = NOTHING


class Listener:
    """`refmill_repos.gate.PushListener` over the flow."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception

    def before(self, push: git.Push) -> git.Verdict:
        """In pre-receive."""
        seen = Push(push.repository_id, push.user, push.updates, push.options, push.quarantine)
        reply = self._reception.before(seen)
        return git.Verdict(reply.accepted, reply.lines, Ticket(seen, reply.events, reply.said))

    def after(self, ticket: Ticket, landed: tuple[RefUpdate, ...]) -> Iterable[str]:
        """In post-receive."""
        return self._reception.after(ticket.push, ticket.events, landed, ticket.said)

    def failed(self, ticket: Ticket) -> None:
        """No ref moved: the planner finds that out from the refs themselves, so there is nothing to undo."""
