"""A gate and a listener for the git server that a test can look into."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from refmill import errors
from refmill.model.pushes import RefUpdate
from refmill.texts import text
from refmill_repos.gate import Admission, Push, Service, Verdict
from refmill_repos.store import BareRepositories

PASSWORD = "s3cret:with colon"


def basic(user: str, password: str = PASSWORD) -> str:
    """The Authorization header that git sends."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class PasswordGate:
    """Everybody called alice or bob with the password enters; `public` ones are read by all, `closed` by nobody."""

    def __init__(self, root: Path) -> None:
        self.store = BareRepositories(root)
        self.public: set[str] = set()
        self.closed: set[str] = set()
        self.ids: dict[str, str] = {}
        self._lock = threading.Lock()

    def admit(self, owner: str, name: str, service: Service, authorization: str | None) -> Admission:
        user = self._user(authorization)
        full = f"{owner}/{name}".lower()
        if not user and not (service == "read" and full in self.public):
            raise errors.Unauthorized(text("sign in to go on"))
        if full in self.closed:
            raise errors.Forbidden(text("you may not use %(name)s", name=full), text("Ask its owner."))
        with self._lock:
            if full not in self.ids:
                if service == "read" or owner.lower() != user:
                    raise errors.NotFound(text("there is no %(name)s", name=full))
                self.ids[full] = f"r{len(self.ids)}x"
                self.store.create(self.ids[full], "main")
        return Admission(self.ids[full], user, self.store.path(self.ids[full]))

    def _user(self, authorization: str | None) -> str:
        if authorization is None:
            return ""
        scheme, _, value = authorization.partition(" ")
        user, _, password = base64.b64decode(value).decode().partition(":")
        if scheme.lower() != "basic" or user not in ("alice", "bob") or password != PASSWORD:
            raise errors.Unauthorized(text("wrong name or password"))
        return user


class Recorder:
    """A listener that takes every push unless `refusal` says otherwise, and remembers all it hears."""

    def __init__(self) -> None:
        self.pushes: list[Push] = []
        self.landed: list[tuple[RefUpdate, ...]] = []
        self.failures: list[Any] = []
        self.answer: tuple[str, ...] = ()
        self.refusal: tuple[str, ...] | None = None
        self.seen_quarantine: list[bool] = []

    def before(self, push: Push) -> Verdict:
        self.pushes.append(push)
        self.seen_quarantine.append(push.quarantine is not None and push.quarantine.is_dir())
        if self.refusal is not None:
            return Verdict(accepted=False, lines=self.refusal)
        return Verdict(accepted=True, lines=("checked",), ticket=len(self.pushes))

    def after(self, ticket: Any, landed: tuple[RefUpdate, ...]) -> Iterable[str]:
        self.landed.append(landed)
        yield from self.answer

    def failed(self, ticket: Any) -> None:
        self.failures.append(ticket)
