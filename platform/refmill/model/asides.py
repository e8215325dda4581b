"""Repositories that the platform could not look after, and set aside so that they stop no others."""

from __future__ import annotations

from dataclasses import dataclass

from refmill.texts import Text


@dataclass(frozen=True, slots=True)
class Aside:
    """What could not be done for a repository (`key` names it for programs), why, since when (UTC microseconds), how
    often it was tried, and when it is tried again."""

    repository_id: str
    key: str
    why: Text
    since: int
    tries: int
    again: int
