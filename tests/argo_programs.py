"""Argo's own programs and full CRDs, which no package registry has: somebody puts them where REFMILL_ARGO_HOME says."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

ABSENT = "no Argo programs"
"""The one reason for which a test may be skipped everywhere."""


def home() -> Path:
    """The folder with `bin` and `crds`; the home of the tests is another one than the person's."""
    return Path(
        os.environ.get("REFMILL_ARGO_HOME") or Path(pwd.getpwuid(os.getuid()).pw_dir, ".cache", "refmill", "argo")
    )


def program(name: str) -> Path:
    """One of Argo's programs; the test is skipped where there is none."""
    found = home() / "bin" / name
    if not os.access(found, os.X_OK):
        pytest.skip(ABSENT)
    return found


def crd(plural: str) -> Path:
    """The full CRD of a kind ("workflows"); the test is skipped where there is none."""
    for found in sorted((home() / "crds").rglob(f"*_{plural}.y*ml")):
        if found.stat().st_size > 100_000:  # the minimal ones, which check nothing, have some hundred bytes
            return found
    pytest.skip(ABSENT)
