"""Who may read /metrics: whoever has the token, which lies in a file, so that a Secret or a colleague can change it."""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
from pathlib import Path

from refmill import errors
from refmill.clients import files
from refmill.settings import Settings
from refmill.texts import text

FILE = "metrics.token"
"""In the data directory, where the setting metrics_token names no other."""
LEAST = 16
"""Characters of a token: whoever tries them all is not kept from it by anything else."""


def place(settings: Settings) -> Path:
    """The file with the token."""
    return Path(settings.metrics_token) if settings.metrics_token else settings.path(FILE)


def prepare(settings: Settings) -> None:
    """See that there is a token where one is asked for; in the data directory it is made. Raises WrongUse, and
    Unavailable where the disk takes none."""
    if settings.metrics != "token":
        return
    path = place(settings)
    if not settings.metrics_token and not path.exists():
        try:
            _make(path)
        except OSError as error:
            raise errors.of_disk(error) or error from error
    token(settings)


def token(settings: Settings) -> str:
    """The token as it is now. Raises WrongUse for a file that holds none."""
    path = place(settings)
    try:
        found = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        detail = (isinstance(error, OSError) and error.strerror) or "no ASCII"
        raise errors.WrongUse(
            text("the token for /metrics cannot be read from %(file)s: %(detail)s", file=str(path), detail=detail),
            text("Look at the file that metrics_token names, or leave that setting empty to have one made."),
        ) from error
    if len(found) < LEAST:
        raise errors.WrongUse(
            text("the token for /metrics in %(file)s has fewer than %(least)s characters", file=str(path), least=LEAST),
            text("Put a longer one there, as `openssl rand -hex 32` prints it."),
        )
    return found


def check(settings: Settings, authorization: str | None) -> None:
    """Raises Unauthorized for everybody who does not bring the token, Unavailable while there is none to compare."""
    try:
        wanted = token(settings)
    except errors.WrongUse as error:
        raise errors.Unavailable(error.message, error.remedy) from error
    scheme, _, given = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), wanted.encode()):
        raise errors.Unauthorized(
            text("This address is for Prometheus, which brings a token."),
            text("Its configuration names it as `authorization`; the operator guide says where the token lies."),
        )


def _make(path: Path) -> None:
    beside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{secrets.token_urlsafe(32)}\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        files.sync(path.parent)
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
