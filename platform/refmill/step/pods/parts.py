"""Large files sent to a store in parts, a few at a time: each is tried again by itself, also at a new address.

The rule to keep: the platform alone begins and completes such an upload. What is known here are addresses that it
gave, a hundred at a time, and what the store answered to each part.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Tuple

from refmill.step.pods import pool
from refmill.step.pods.wire import Piece, Refused, Wire

TRIES = 4  # how often addresses are asked for that bring nothing forward
KIND = {"Content-Type": "application/octet-stream"}

Ask = Callable[..., Dict[str, Dict[str, Any]]]
"""Asks the platform: what for, for which objects, and more that is said of them."""


def send(wire: Wire, ask: Ask, name: str, path: str, size: int) -> Mapping[str, Any]:
    """Send the file `path` as the object `name`; gives what the platform says in the end: {"status": 201}, or what was
    wrong. Raises Away, Unreadable."""
    etags: Dict[int, str] = {}
    ticket, first, tries = "", 1, 0
    said: Dict[str, Any] = {"sizes": {name: size}}
    try:
        while True:
            told = ask("parts", {name: ticket}, first={name: first}, **said).get(name, {})
            if told.get("present"):
                return {"status": 200}
            if not told.get("hrefs"):
                return told
            ticket, before = told["ticket"], len(etags)
            why = _send_some(wire, told, path, size, etags)
            lacking = [number for number in range(1, told["count"] + 1) if number not in etags]
            if not lacking:
                break
            first, tries = lacking[0], 0 if len(etags) > before else tries + 1
            if tries == TRIES:
                return {"message": why}
        found = [etags[number] for number in range(1, len(etags) + 1)]
        return ask("settle", {name: ticket}, etags={name: found}, **said).get(name, {})
    except Refused as error:  # a platform of before knows nothing of parts
        return {"message": str(error)}


def _send_some(wire: Wire, told: Mapping[str, Any], path: str, size: int, etags: Dict[int, str]) -> str:
    """Send those of the parts that addresses were given for and that are not there yet; why one was not taken."""
    why: List[str] = []

    def put(item: Tuple[int, str]) -> None:
        number, href = item
        start = (number - 1) * told["size"]
        try:
            answer = wire.ask("PUT", href, Piece(path, start, min(told["size"], size - start)), KIND)
        except Refused as error:
            why.append("part %d: %s" % (number, error))
            return
        if answer.headers.get("etag"):
            etags[number] = answer.headers["etag"]
        else:
            why.append("part %d has no ETag" % number)

    pool.each(put, [item for item in enumerate(told["hrefs"], told["first"]) if item[0] not in etags])
    return why[0] if why else ""
