"""Passwords and other secrets: how they are kept and checked.

The rule to keep: a password is kept as argon2id, a random secret of 256 bits as plain SHA-256 (guessing it is hopeless,
so a slow hash would only slow down every request). Nothing here is ever logged.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict

import argon2
from argon2 import exceptions

MAX_PASSWORD = 1024  # bytes; a longer one only costs time
_REMEMBERED = 1024  # verdicts
_REMEMBER_SECONDS = 600.0
_AT_ONCE = 2  # each check takes 64 MiB and a core for some 50 ms


def new_secret(prefix: str = "") -> str:
    """256 random bits as 43 URL-safe characters after `prefix`."""
    return prefix + secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """What is kept of a random secret: SHA-256, 64 hex digits."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Passwords:
    """Makes and checks password hashes; right answers are remembered for a while, because git and DVC send the
    password with every single request."""

    def __init__(self) -> None:
        self._hasher = argon2.PasswordHasher()
        self._slots = threading.BoundedSemaphore(_AT_ONCE)
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._right: OrderedDict[bytes, float] = OrderedDict()

    def make(self, password: str) -> str:
        """The hash to keep."""
        with self._slots:
            return self._hasher.hash(password)

    def is_right(self, kept: str | None, password: str) -> bool:
        """Whether `password` belongs to the hash `kept`; takes as long if there is none."""
        if len(password.encode("utf-8", "surrogatepass")) > MAX_PASSWORD:
            return False
        verdict = self._verdict(kept or "", password)
        if self._remembers(verdict):
            return True
        with self._slots:
            try:
                self._hasher.verify(kept or self._nobody, password)
            except (exceptions.VerificationError, exceptions.InvalidHashError, UnicodeEncodeError):
                return False
        if kept is None:
            return False
        with self._lock:
            self._right[verdict] = time.monotonic()
            while len(self._right) > _REMEMBERED:
                self._right.popitem(last=False)
        return True

    def is_outdated(self, kept: str) -> bool:
        """Whether a hash was made with weaker settings than today's."""
        return self._hasher.check_needs_rehash(kept)

    @functools.cached_property
    def _nobody(self) -> str:
        return self._hasher.hash(secrets.token_urlsafe(32))

    def _verdict(self, kept: str, password: str) -> bytes:
        # The kept hash is part of it: a changed password forgets the verdict by itself, in every process.
        body = kept.encode() + b"\0" + password.encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, body, "sha256")

    def _remembers(self, verdict: bytes) -> bool:
        with self._lock:
            since = self._right.get(verdict)
            return since is not None and time.monotonic() - since < _REMEMBER_SECONDS
