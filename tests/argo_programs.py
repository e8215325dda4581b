"""Argo's own programs and full CRDs, which no package registry has: somebody puts them where REFMILL_ARGO_HOME says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cluster.argo import NO_ARGO
from cluster.places import places


def program(name: str) -> Path:
    """One of Argo's programs; the test is skipped where there is none."""
    found = places().argo / "bin" / name
    if not os.access(found, os.X_OK):
        pytest.skip(NO_ARGO)
    return found


def crd(plural: str) -> Path:
    """The full CRD of a kind ("workflows"); the test is skipped where there is none."""
    for found in sorted((places().argo / "crds").rglob(f"*_{plural}.y*ml")):
        if found.stat().st_size > 100_000:  # the minimal ones, which check nothing, have some hundred bytes
            return found
    pytest.skip(NO_ARGO)
