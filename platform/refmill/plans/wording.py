"""Reasons on one line."""

from __future__ import annotations

from collections.abc import Sequence

from refmill.model.plans import Reason
from refmill.texts import Text, counted, text

SHOWN = 2
"""Reasons that a line names before it only counts them."""


def in_short(reasons: Sequence[Reason], shown: int = SHOWN) -> Text | None:
    """The first of a stage's reasons, and how many more there are; None if there is none."""
    if not reasons:
        return None
    told = reasons[0].message
    for reason in reasons[1:shown]:
        told = text("%(one)s; %(two)s", one=told, two=reason.message)
    if (more := len(reasons) - shown) <= 0:
        return told
    return counted(
        "%(reason)s (and %(count)s more reason)", "%(reason)s (and %(count)s more reasons)", more, reason=told
    )
