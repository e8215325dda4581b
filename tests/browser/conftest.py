"""A running platform and a browser."""

from browsing import browser, page  # noqa: F401 - fixtures
from running import platform  # noqa: F401 - a fixture
