"""Who may do what."""

from __future__ import annotations

import base64
import re
import secrets
from dataclasses import dataclass
from typing import Literal, TypeAlias

Role: TypeAlias = Literal["read", "write", "admin"]
Scope: TypeAlias = Literal["read", "write", "admin"]
LEAST_PASSWORD = 8
"""Characters of a new password."""
RANK: dict[Role | None, int] = {None: 0, "read": 1, "write": 2, "admin": 3}

NAME = re.compile(r"[a-z0-9](?:[a-z0-9]|[-_.](?=[a-z0-9])){0,38}", re.ASCII | re.IGNORECASE)
"""Users and repositories: ASCII letters and digits, single - _ . inside, at most 39 characters."""

FORBIDDEN_ENDINGS = (".git", ".dvc", ".lock", ".atom", ".json")


def is_name(name: str, reserved: frozenset[str] = frozenset()) -> bool:
    """Whether `name` can name a user or a repository; `reserved` are the first words of the platform's addresses."""
    return bool(NAME.fullmatch(name)) and not name.lower().endswith(FORBIDDEN_ENDINGS) and name.lower() not in reserved


def new_repository_id() -> str:
    """A fresh id: 80 random bits as 16 characters of base32 in lower case."""
    return base64.b32encode(secrets.token_bytes(10)).decode().lower()


@dataclass(frozen=True, slots=True)
class User:
    """A person. `trusted`: their repositories may run where no sandbox works. `language` is `en`, `zh` or ""."""

    id: int
    name: str
    admin: bool = False
    trusted: bool = False
    language: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    """A personal token; its secret (256 random bits) is shown once and kept only as SHA-256."""

    id: int
    user_id: int
    label: str
    scopes: frozenset[Scope]
    created: int
    expires: int | None = None
    last_used: int | None = None


@dataclass(frozen=True, slots=True)
class Repository:
    """A hosted repository. `id` is random, never reused, and names its folder and its objects; renames move nothing.
    `network`: its stages may use the network, where the installation lets any."""

    id: str
    owner: str
    name: str
    public: bool = False
    archived: bool = False
    default_branch: str = "main"
    protected: bool = True
    description: str = ""
    network: bool = True

    @property
    def full_name(self) -> str:
        """`owner/name`, as in addresses."""
        return f"{self.owner}/{self.name}"

    def is_called(self, name: str) -> bool:
        """Whether that is its name today; else it was found by one that it had before."""
        return self.name.lower() == name.lower()
