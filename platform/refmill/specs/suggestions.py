"""What somebody may have meant: the remedy for a name that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from refmill.texts import Text, text

_SHOWN = 30
_ALIKE = 3
"""Similar names of which somebody may have meant any."""
_LIKENESS, _MORE_ALIKE = 0.6, 0.7
"""From which on a word may be another one misspelt (1 = equal), and among names that people choose: “nobody” is not
“good”."""


def nearest(word: str, known: Iterable[str]) -> Text:
    """The remedy for a key that cannot stand where it does: the most similar one that can, or all of them."""
    candidates = sorted(known)
    if close := closest(word, candidates):
        return text("Did you mean “%(name)s”?", name=close)
    if not candidates:
        return text("Take it away: nothing can stand here.")
    return text("Take it away; what can stand here: %(names)s.", names=", ".join(candidates[:_SHOWN]))


def existing(word: str, known: Iterable[str], otherwise: Text, *, likeness: float = _LIKENESS) -> Text:
    """The remedy for a thing that is named but not there: the most similar one, else all, else `otherwise`."""
    candidates = sorted(known)
    if close := closest(word, candidates, likeness=likeness):
        return text("Did you mean “%(name)s”?", name=close)
    return text("There are: %(names)s.", names=", ".join(candidates[:_SHOWN])) if candidates else otherwise


def alike(word: str, known: Iterable[str], otherwise: Text) -> Text:
    """As `existing`, for names of which many look alike: the few most similar ones."""
    candidates = sorted(known)
    first = closest(word, candidates, likeness=_MORE_ALIKE)
    close = difflib.get_close_matches(word, candidates, n=_ALIKE, cutoff=_MORE_ALIKE)
    names = list(dict.fromkeys([first, *close] if first else close))[:_ALIKE]
    if len(names) < 2:
        return existing(word, candidates, otherwise, likeness=_MORE_ALIKE)
    return text("Did you mean one of these: %(names)s?", names=", ".join(names))


def closest(word: str, candidates: Sequence[str], *, likeness: float = _LIKENESS) -> str | None:
    """The most similar candidate, if one has that `likeness` (1 = equal); letters that changed places are the commonest
    slip of all."""
    mixed = [name for name in candidates if sorted(name) == sorted(word)]
    return next(iter(mixed or difflib.get_close_matches(word, candidates, n=1, cutoff=likeness)), None)
