"""Who asks, and what they may do here."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from urllib.parse import quote

from flask import Flask, abort, g, redirect, request
from werkzeug.wrappers import Response

from refmill import errors
from refmill.model.people import RANK, Repository, Role, User
from refmill.texts import text
from refmill_web.services import services

COOKIE = "refmill_session"
SECONDS = 30 * 86400
"""How long a session lasts at most."""


@dataclass(frozen=True, slots=True)
class Access:
    """A repository with what the asker is in it."""

    repository: Repository
    role: Role

    def may(self, role: Role) -> bool:
        """Whether the asker is at least `role`."""
        return RANK[self.role] >= RANK[role]


class SignInNeeded(errors.Unauthorized):
    """A page that only somebody signed in can see; the answer is the sign-in page."""


def install(app: Flask) -> None:
    """Know the user before every request, except for static files."""
    app.before_request(_load)
    app.extensions["refmill-attempts"] = Attempts()


def _load() -> None:
    g.user = None
    secret = request.cookies.get(COOKIE)
    if secret and request.endpoint not in {"static", "health.alive", "health.ready"}:
        g.user = services().sessions.check(secret)


def user() -> User | None:
    """Who is signed in, if anybody."""
    found: User | None = g.get("user")
    return found


def signed_in() -> User:
    """Who is signed in. Raises SignInNeeded."""
    found = user()
    if found is None:
        raise SignInNeeded(text("This page is for people who are signed in."), text("Sign in and it opens."))
    return found


def access(owner: str, name: str, role: Role = "read") -> Access:
    """The repository at an address if the asker is at least `role` in it.

    Raises NotFound where it does not exist *or may not be read*, so that names do not leak; SignInNeeded in place of
    that for somebody not signed in; Forbidden where it may be read, but `role` is more than that. A name that it had
    before ends the request with a redirect to today's.
    """
    repository = services().catalogue.find(owner, name)
    held = services().catalogue.role(user(), repository) if repository else None
    if repository is None or held is None:
        signed_in()
        raise errors.NotFound(
            text("There is no repository %(name)s, or it may not be seen by you.", name=f"{owner}/{name}"),
            text("Look at the spelling, or ask its owner to add you as a member."),
        )
    if not repository.is_called(name) and request.method in ("GET", "HEAD"):
        abort(_moved(owner, name, repository))
    found = Access(repository, held)
    if not found.may(role):
        signed_in()
        raise errors.Forbidden(
            text(
                "Your role in %(name)s is “%(held)s”; this needs “%(needed)s”.",
                name=repository.full_name,
                held=held,
                needed=role,
            ),
            text("Ask an administrator of the repository for that role."),
        )
    return found


def _moved(owner: str, name: str, repository: Repository) -> Response:
    """From an address below a former name to the same one below today's."""
    rest = request.path[len(f"/{owner}/{name}") :]
    query = f"?{request.query_string.decode('latin-1')}" if request.query_string else ""
    return redirect(f"/{quote(repository.full_name + rest)}{query}", 301)


def begin(response: Response, user: User) -> None:
    """Sign `user` in on this browser."""
    secret = services().sessions.start(user.id, seconds=SECONDS)
    response.set_cookie(COOKIE, secret, max_age=SECONDS, httponly=True, samesite="Lax", secure=request.is_secure)


def end(response: Response) -> None:
    """Sign this browser out."""
    services().sessions.end(request.cookies.get(COOKIE, ""))
    response.delete_cookie(COOKIE)


class Attempts:
    """Failed sign-ins of late, by account and by address; bounded, in memory."""

    def __init__(self, *, allowed: int = 10, seconds: float = 300.0, kept: int = 10_000) -> None:
        self._allowed, self._seconds, self._kept = allowed, seconds, kept
        self._failures: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def wait(self, *keys: str) -> int:
        """Seconds until a further attempt is taken under all of `keys`; 0 = now."""
        now = time.monotonic()
        with self._lock:
            until = [self._until(key, now) for key in keys]
        return max(0, *(int(moment - now) + 1 if moment > now else 0 for moment in until))

    def _until(self, key: str, now: float) -> float:
        failures = self._failures.get(key, deque())
        while failures and failures[0] < now - self._seconds:
            failures.popleft()
        return failures[0] + self._seconds if len(failures) >= self._allowed else 0.0

    def failed(self, *keys: str) -> None:
        """Note a failed attempt."""
        with self._lock:
            for key in keys:
                if len(self._failures) >= self._kept and key not in self._failures:
                    self._failures.pop(next(iter(self._failures)))
                self._failures.setdefault(key, deque(maxlen=self._allowed)).append(time.monotonic())

    def forget(self, *keys: str) -> None:
        """A right password clears the account."""
        with self._lock:
            for key in keys:
                self._failures.pop(key, None)
