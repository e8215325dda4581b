"""Fixtures that these tests share with others."""

from serving import served  # noqa: F401 - a fixture
