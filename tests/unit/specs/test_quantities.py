"""Resource quantities as Kubernetes reads them, and durations."""

from __future__ import annotations

from fractions import Fraction

import pytest

from refmill.specs import duration, quantity


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("500m", Fraction(1, 2)), ("1.5", Fraction(3, 2)), (2, 2), (0.25, Fraction(1, 4)), ("2Gi", 2**31),
        ("512M", 512_000_000), ("1k", 1000), ("1Ki", 1024), ("1e3", 1000), ("1E3", 1000), ("1E", 10**18),
        ("100n", Fraction(1, 10**7)), (".5Gi", 2**29), ("5.", 5), ("-1", -1), ("+1", 1), (" 3 ", 3),
    ],
)  # fmt: skip
def test_a_quantity_is_read_as_kubernetes_reads_it(written: str | float, amount: Fraction) -> None:
    assert quantity(written) == amount


@pytest.mark.parametrize(
    "written", ["", "Gi", "1gi", "1GiB", "1,5", "0x10", "1 Gi", "1e", "1mm", "١", "1K", "inf", True, "1e9999"]
)
def test_what_is_no_quantity_is_refused(written: str | float) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        quantity(written)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("2d", 172800), ("1.5s", 1.5), (45, 45), (0.5, 0.5)],
)
def test_a_duration_is_read_in_seconds(written: str | float, seconds: float) -> None:
    assert duration(written) == seconds


@pytest.mark.parametrize("written", ["", "5", "m", "30 m", "1m1h", "-5m", "1y", True])
def test_what_is_no_duration_is_refused(written: str | float) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        duration(written)
