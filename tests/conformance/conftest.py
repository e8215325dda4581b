"""DVC and Refmill, each ready to run, and one real platform that every project of a worker is pushed to."""

from warmed import dvc, oracle, refmill, started  # noqa: F401 - fixtures

from running import name, platform  # noqa: F401 - fixtures
