"""`--write-points` writes the lists of fault points anew, after steps that touch the disk have come or gone."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of this folder's tests."""
    parser.addoption("--write-points", action="store_true", help="write tests/faults/points/*.txt anew")
