"""Where many objects are fetched from and sent to, in one answer: POST /OWNER/NAME.dvc/batch.

    {"operation": "download", "objects": ["<md5>", …]}      → {"<md5>": {"href": …, "size": …}}
    {"operation": "upload",   "objects": ["<md5>", …]}      → {"<md5>": {"href": …, "method": "PUT", "ticket": …}}
    {"operation": "settle",   "objects": {"<md5>": "<ticket>"}}  → {"<md5>": {"status": 201}}

An S3 store gives addresses of its own for both, so that large data do not pass through here; what was sent to one has
to be settled: it is read there, compared with its name, and given that. A directory store gives this remote's own. What
is not there has {"error": 404}, and what is there already {"present": true}. The rule to keep: an address that
needs no credentials is given to those alone who may read, or write, the repository.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from refmill import errors
from refmill.formats.hashing import OLD, is_stored_name
from refmill.ports.objects import Store
from refmill.texts import text

MOST = 1000
"""Objects of one request."""
LONGEST = 1 << 20
"""Bytes of a request."""
SECONDS = 3600
"""How long an address is good for: an upload or download of gigabytes has to have begun by then."""
Operation: TypeAlias = Literal["download", "upload", "settle"]
Answer: TypeAlias = dict[str, dict[str, Any]]


def parse(body: bytes) -> tuple[Operation, Mapping[str, str]]:
    """The operation, and the objects with their tickets ("" where there is none). Raises WrongUse, LimitExceeded."""
    try:
        asked = json.loads(body)
        operation, objects = asked["operation"], asked["objects"]
        wanted = dict(objects) if isinstance(objects, dict) else dict.fromkeys(objects, "")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _odd() from error
    if len(wanted) > MOST:
        raise errors.LimitExceeded(text("a request may ask for %(limit)s objects", limit=MOST))
    if operation not in ("download", "upload", "settle") or not all(
        isinstance(md5, str) and is_stored_name(md5) and isinstance(ticket, str) for md5, ticket in wanted.items()
    ):
        raise _odd()
    return operation, wanted


def answer(store: Store, operation: Operation, wanted: Mapping[str, str], base: str, limit: int) -> Answer:
    """What is answered; `base` is the remote's address. Raises Unavailable."""
    if operation == "settle":
        return {md5: _settled(store, md5, ticket, limit) for md5, ticket in wanted.items()}
    sizes = store.sizes(wanted)
    if operation == "download":
        return {md5: _given(store, md5, sizes, base) for md5 in wanted}
    return {md5: {"present": True} if md5 in sizes else _taken(store, md5, base) for md5 in wanted}


def arrived(operation: Operation, found: Answer) -> Sequence[str]:
    """Objects that are there now, of which nobody knew before."""
    return [md5 for md5, item in found.items() if item.get("status") == 201] if operation == "settle" else []


def _given(store: Store, md5: str, sizes: Mapping[str, int], base: str) -> dict[str, Any]:
    if md5 not in sizes:
        return {"error": 404}
    try:
        href = store.link(md5, SECONDS) or _own(base, md5)
    except errors.NotFound:
        return {"error": 404}
    return {"href": href, "size": sizes[md5], "expires_in": SECONDS}


def _taken(store: Store, md5: str, base: str) -> dict[str, Any]:
    offer = store.offer(md5, SECONDS)
    if offer is None:
        return {"href": _own(base, md5), "method": "PUT"}
    return {"href": offer.href, "method": "PUT", "ticket": offer.ticket, "expires_in": SECONDS}


def _settled(store: Store, md5: str, ticket: str, limit: int) -> dict[str, Any]:
    try:
        return {"status": 201 if store.settle(md5, ticket, limit=limit) else 200}
    except errors.Unavailable:
        raise
    except errors.RefmillError as error:
        return {"error": error.status, "message": str(error.message)}


def _own(base: str, md5: str) -> str:
    name = md5.removeprefix(OLD)
    return f"{base}/{name[:2]}/{name[2:]}" if name != md5 else f"{base}/files/md5/{name[:2]}/{name[2:]}"


def _odd() -> errors.WrongUse:
    return errors.WrongUse(
        text("this is no request for objects"),
        text('It is JSON like {"operation": "download", "objects": ["<md5>"]}; upload and settle are the others.'),
    )
