"""Amounts as people write them in refmill.yaml and in settings: resources as Kubernetes reads them, and durations."""

from __future__ import annotations

import re
from fractions import Fraction

_SUFFIXES = {
    "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "": Fraction(1),
    "k": Fraction(10**3), "M": Fraction(10**6), "G": Fraction(10**9), "T": Fraction(10**12),
    "P": Fraction(10**15), "E": Fraction(10**18),
    "Ki": Fraction(2**10), "Mi": Fraction(2**20), "Gi": Fraction(2**30), "Ti": Fraction(2**40),
    "Pi": Fraction(2**50), "Ei": Fraction(2**60),
}  # fmt: skip
_QUANTITY = re.compile(
    r"([+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30}))(?:[eE]([+-]?[0-9]{1,3})|([A-Za-z]{0,2}))"
)
_DURATION = re.compile(r"(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9}(?:\.[0-9]{1,6})?)s)?")


def quantity(value: str | float) -> Fraction:
    """An amount in its base unit: `500m` is 1/2, `2Gi` is 2³¹, `1e3` is 1000; a plain number is itself.

    The grammar is that of Kubernetes' resource.Quantity: binary (Ki … Ei) and decimal (n u m k M G T P E) suffixes or a
    decimal exponent. Raises ValueError for anything else.
    """
    if isinstance(value, bool):
        raise ValueError("not a quantity")
    found = _QUANTITY.fullmatch(str(value).strip())
    if not found or (found[3] or "") not in _SUFFIXES:
        raise ValueError("not a quantity")
    number = Fraction(found[1])
    return number * Fraction(10) ** int(found[2]) if found[2] else number * _SUFFIXES[found[3] or ""]


def duration(value: str | float) -> float:
    """Seconds of `90`, `"90s"`, `"30m"`, `"1h30m"` or `"2d"`. Raises ValueError for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) and value.strip() else None
    if not found:
        raise ValueError("not a duration")
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
