"""Where many objects are fetched from and sent to, in one answer: POST /OWNER/NAME.dvc/batch.

    {"operation": "download", "objects": ["<md5>", …]}      → {"<md5>": {"href": …, "size": …}}
    {"operation": "upload",   "objects": ["<md5>", …]}      → {"<md5>": {"href": …, "method": "PUT", "ticket": …}}
    {"operation": "settle",   "objects": {"<md5>": "<ticket>"}}  → {"<md5>": {"status": 201}}

An S3 store gives addresses of its own for both, so that large data do not pass through here; what was sent to one has
to be settled: it is read there, compared with its name, and given that. A directory store gives this remote's own. What
is not there has {"error": 404}, and what is there already {"present": true}; `headers` are to be sent along.

Whoever can send an object in parts says its size, `"sizes": {"<md5>": BYTES}`, with "upload", and hears {"parts": true}
where that is to be done. Then:

    {"operation": "parts",    "objects": {"<md5>": ""}, "sizes": {"<md5>": BYTES}}
        → {"<md5>": {"ticket": …, "size": BYTES OF A PART, "count": …, "first": 1, "hrefs": [… a hundred]}}
    {"operation": "parts",    "objects": {"<md5>": "<ticket>"}, "sizes": …, "first": {"<md5>": NUMBER}}
        → the same from there on
    {"operation": "settle",   "objects": {"<md5>": "<ticket>"}, "sizes": …, "etags": {"<md5>": ["…", …]}}

Who says no size is answered as ever, and a platform that knows nothing of parts passes over what is said of them. The
rule to keep: an address that needs no credentials is given to those alone who may read, or write, the repository.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from refmill import errors
from refmill.formats.hashing import OLD, is_stored_name
from refmill.ports.objects import Piecemeal, Store
from refmill.texts import text

MOST = 1000
"""Objects of one request."""
MOST_IN_PARTS = 4
"""The same of "parts", each of which is answered with a hundred signed addresses: a request is not to take seconds."""
LONGEST = 1 << 20
"""Bytes of a request, also of one that was packed."""
SECONDS = 3600
"""How long an address is good for: an upload or download of gigabytes has to have begun by then."""
Operation: TypeAlias = Literal["download", "upload", "parts", "settle"]
Answer: TypeAlias = dict[str, dict[str, Any]]
_OPERATIONS = ("download", "upload", "parts", "settle")
_MOST_PARTS = 10_000  # of an object in S3
_ETAG = re.compile(r'"?[\w.+/=:-]{1,128}"?', re.ASCII)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: objects with their tickets ("" where there is none), and what is said of those that go in parts."""

    operation: Operation
    objects: Mapping[str, str]
    sizes: Mapping[str, int] = field(default_factory=dict)
    first: Mapping[str, int] = field(default_factory=dict)
    etags: Mapping[str, Sequence[str]] = field(default_factory=dict)


def parse(body: bytes) -> Asked:
    """What is asked. Raises WrongUse, LimitExceeded."""
    try:
        asked = json.loads(body)
        operation, objects = asked["operation"], asked["objects"]
        wanted = dict(objects) if isinstance(objects, dict) else dict.fromkeys(objects, "")
        sizes, first, etags = (dict(asked.get(name) or {}) for name in ("sizes", "first", "etags"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _odd() from error
    most = MOST_IN_PARTS if operation == "parts" else MOST
    if len(wanted) > most:
        raise errors.LimitExceeded(text("a request may ask for %(limit)s objects", limit=most))
    if operation not in _OPERATIONS or not all(
        isinstance(md5, str) and is_stored_name(md5) and isinstance(ticket, str) for md5, ticket in wanted.items()
    ):
        raise _odd()
    if not (all(map(_is_count, (*sizes.values(), *first.values()))) and all(map(_are_etags, etags.values()))):
        raise _odd()
    return Asked(operation, wanted, sizes, first, etags)


def _is_count(said: object) -> bool:
    return type(said) is int and 0 <= said < 1 << 60


def _are_etags(said: object) -> bool:
    return isinstance(said, list) and len(said) <= _MOST_PARTS and all(
        isinstance(etag, str) and _ETAG.fullmatch(etag) for etag in said
    )  # fmt: skip


def answer(store: Store, asked: Asked, base: str, limit: int, sender: str = "") -> Answer:
    """What is answered; `base` is the remote's address, `sender` the run that asks, "" where people do. Raises
    Unavailable."""
    if asked.operation == "settle":
        return {md5: _settled(store, md5, asked, limit, sender) for md5 in asked.objects}
    sizes = store.sizes(asked.objects)
    if asked.operation == "download":
        return {md5: _given(store, md5, sizes, base) for md5 in asked.objects}
    take = _in_parts if asked.operation == "parts" else _taken
    return {md5: {"present": True} if md5 in sizes else take(store, _piecemeal(md5, asked, sender), base, limit)
            for md5 in asked.objects}  # fmt: skip


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


def _taken(store: Store, wanted: Piecemeal, base: str, _: int) -> dict[str, Any]:
    if store.in_parts(wanted.size):
        return {"parts": True}
    offer = store.offer(wanted.md5, SECONDS)
    if offer is None:
        return {"href": _own(base, wanted.md5), "method": "PUT"}
    told = {"href": offer.href, "method": "PUT", "ticket": offer.ticket, "expires_in": SECONDS}
    return {**told, "headers": dict(offer.headers)} if offer.headers else told


def _in_parts(store: Store, wanted: Piecemeal, _: str, limit: int) -> dict[str, Any]:
    try:
        found = store.parts(wanted, SECONDS, limit=limit)
    except errors.Unavailable:
        raise
    except errors.RefmillError as error:
        return _refused(error)
    return {
        "ticket": found.ticket, "size": found.size, "count": found.count, "first": found.first,
        "hrefs": list(found.hrefs), "expires_in": SECONDS,
    }  # fmt: skip


def _settled(store: Store, md5: str, asked: Asked, limit: int, sender: str) -> dict[str, Any]:
    try:
        if md5 in asked.etags:
            new = store.settle_parts(_piecemeal(md5, asked, sender), asked.etags[md5], limit=limit)
        else:
            new = store.settle(md5, asked.objects[md5], limit=limit)
    except errors.Unavailable:
        raise
    except errors.RefmillError as error:
        return _refused(error)
    return {"status": 201 if new else 200}


def _piecemeal(md5: str, asked: Asked, sender: str) -> Piecemeal:
    return Piecemeal(md5, asked.sizes.get(md5, 0), sender, asked.objects[md5], asked.first.get(md5, 1))


def _refused(error: errors.RefmillError) -> dict[str, Any]:
    return {"error": error.status, "message": str(error.message)}


def _own(base: str, md5: str) -> str:
    name = md5.removeprefix(OLD)
    return f"{base}/{name[:2]}/{name[2:]}" if name != md5 else f"{base}/files/md5/{name[:2]}/{name[2:]}"


def _odd() -> errors.WrongUse:
    return errors.WrongUse(
        text("this is no request for objects"),
        text('It is JSON like {"operation": "download", "objects": ["<md5>"]}; or upload, parts, settle.'),
    )
