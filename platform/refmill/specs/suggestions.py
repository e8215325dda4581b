"""What somebody may have meant: the remedy for a name that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from refmill.texts import Text, text

_SHOWN = 30


def nearest(word: str, known: Iterable[str]) -> Text:
    """The remedy for a key that cannot stand where it does: the most similar one that can, or all of them."""
    candidates = sorted(known)
    if close := _closest(word, candidates):
        return text("Did you mean “%(name)s”?", name=close)
    if not candidates:
        return text("Take it away: nothing can stand here.")
    return text("Take it away; what can stand here: %(names)s.", names=", ".join(candidates[:_SHOWN]))


def existing(word: str, known: Iterable[str], otherwise: Text) -> Text:
    """The remedy for a thing that is named but not there: the most similar one, else all, else `otherwise`."""
    candidates = sorted(known)
    if close := _closest(word, candidates):
        return text("Did you mean “%(name)s”?", name=close)
    return text("There are: %(names)s.", names=", ".join(candidates[:_SHOWN])) if candidates else otherwise


def _closest(word: str, candidates: list[str]) -> str | None:
    """The most similar candidate, if one is; letters that changed places are the commonest slip of all."""
    mixed = [name for name in candidates if sorted(name) == sorted(word)]
    return next(iter(mixed or difflib.get_close_matches(word, candidates, n=1)), None)
