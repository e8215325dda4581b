"""Who may come in through git and the data remote: one place for both."""

from __future__ import annotations

import base64
import binascii

from refmill import errors
from refmill.model.people import RANK, Repository, Role, Scope, User, is_name
from refmill.ports.records import Catalogue, People
from refmill.ports.repositories import Repositories
from refmill.texts import Text, text
from refmill_argo import tokens
from refmill_repos.gate import Admission, Service
from refmill_web.auth import Attempts

RUN_TOKEN = tokens.PREFIX
"""Begins what opens the data of one run alone (`refmill_web.desks.RunGate`): here it is no password to be tried."""


class Gate:
    """Admits by token or password over basic authentication, and by role."""

    def __init__(
        self, people: People, catalogue: Catalogue, repositories: Repositories, *, push_to_create: bool,
        address: str, reserved: frozenset[str] = frozenset(),
    ) -> None:  # fmt: skip
        self._people, self._catalogue, self._repositories = people, catalogue, repositories
        self._push_to_create, self._address, self._reserved = push_to_create, address, reserved
        self._attempts = Attempts()

    def admit(self, owner: str, name: str, service: Service, authorization: str | None) -> Admission:
        """Raises Unauthorized (nobody, or wrong credentials), NotFound (or may not be known), Forbidden."""
        user, scopes = self._who(authorization)
        repository = self._catalogue.find(owner, name)
        if repository is None:
            repository = self._create(user, scopes, owner, name, service)
        role = _limited(self._catalogue.role(user, repository), scopes)
        if RANK[role] < RANK[service]:
            raise self._refusal(user, role, repository)
        self._repositories.create(repository.id, repository.default_branch)
        moved = None if repository.is_called(name) else self._moved(repository)
        return Admission(repository.id, user.name if user else "", self._repositories.path(repository.id), moved)

    def _moved(self, repository: Repository) -> Text:
        """What git tells a pusher: a push must not go on to an address that another repository may take."""
        url = f"{self._address}/{repository.full_name}.git"
        return text("renamed to %(name)s: git remote set-url origin %(url)s", name=repository.full_name, url=url)

    def may_read(self, user_name: str, owner: str, name: str) -> Repository | None:
        """The repository, if that user may read it."""
        repository = self._catalogue.find(owner, name)
        user = self._people.find(user_name)
        return repository if repository and self._catalogue.role(user, repository) else None

    def _who(self, authorization: str | None) -> tuple[User | None, frozenset[Scope]]:
        if not authorization:
            return None, frozenset()
        name, secret = credentials(authorization)
        if secret.startswith(RUN_TOKEN):
            raise _wrong()
        if secret.startswith("rfm_") or name.startswith("rfm_"):
            found = self._people.check_token(secret if secret.startswith("rfm_") else name)
            if found and (not name or name.startswith("rfm_") or name.lower() == found[0].name.lower()):
                return found
            raise _wrong()
        key = name.lower()
        if wait := self._attempts.wait(key):
            raise errors.Unauthorized(text("too many wrong passwords: wait %(seconds)s s", seconds=wait))
        user = self._people.check_password(name, secret)
        if user is None:
            self._attempts.failed(key)
            raise _wrong()
        self._attempts.forget(key)
        return user, frozenset({"read", "write", "admin"})

    def _create(
        self, user: User | None, scopes: frozenset[Scope], owner: str, name: str, service: Service
    ) -> Repository:
        """A push to a repository that does not exist yet makes it, under the pusher's own name."""
        if user is None:
            raise _sign_in()
        mine = user.name.lower() == owner.lower()
        if service == "read" or not self._push_to_create or not mine or "write" not in scopes:
            raise _nothing(owner, name)
        if name.lower() in self._reserved:
            raise errors.Forbidden(
                text("“%(name)s” cannot name a repository: the platform has a page of that name", name=name[:100]),
                text("Choose another name."),
            )
        if not is_name(name):
            raise errors.Forbidden(
                text("“%(name)s” cannot name a repository", name=name[:100]),
                text("Use letters, digits and single - _ . inside, at most 39 characters."),
            )
        try:
            return self._catalogue.add(user.name, name)
        except errors.Conflict:
            if found := self._catalogue.find(owner, name):
                return found
            raise

    @staticmethod
    def _refusal(user: User | None, role: Role | None, repository: Repository) -> errors.RefmillError:
        if user is None:
            return _sign_in()
        if role is None:
            return _nothing(repository.owner, repository.name)
        return errors.Forbidden(
            text("%(user)s may read %(name)s, but not write to it", user=user.name, name=repository.full_name),
            text("Ask an administrator of the repository for the role “write”, or use a token with that scope."),
        )


def _limited(role: Role | None, scopes: frozenset[Scope]) -> Role | None:
    """A role cut down to what a token allows; without credentials only a public repository's "read" is left."""
    most = max((RANK[scope] for scope in scopes), default=RANK["read"])
    if RANK[role] <= most:
        return role
    return next(known for known, rank in RANK.items() if rank == most)


def credentials(authorization: str) -> tuple[str, str]:
    """A name ("" where none is told) and a password or token. Raises Unauthorized."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return "", encoded.strip()
    try:
        name, _, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _wrong() from error
    if scheme.lower() != "basic":
        raise _wrong()
    return name, secret


def _wrong() -> errors.Unauthorized:
    return errors.Unauthorized(
        text("wrong user name, password or token"), text("`refmill login` stores new credentials for git and DVC.")
    )


def _sign_in() -> errors.Unauthorized:
    return errors.Unauthorized(text("sign in with your user name and a token or password"))


def _nothing(owner: str, name: str) -> errors.NotFound:
    return errors.NotFound(
        text("there is no repository %(name)s, or it may not be seen by you", name=f"{owner}/{name}"),
        text("Look at the spelling; a push creates repositories only under your own name."),
    )
