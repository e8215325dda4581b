"""Packages for stages in pods, which reach no index but one on this machine: fetched once by pip, from where this machine
takes them."""

import hashlib
import re
import shutil
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

from cluster.calling import call
from cluster.components import Say

MINUTES = 15


def folder(cache: Path, requirements: Path, pythons: Collection[str], say: Say) -> Path:
    """The wheels that `requirements` come to on this kind of machine for each Python (`3.11`), each in a folder of its
    package's name: served as files, that is a package index. Raises ClusterError where they cannot be had."""
    told = hashlib.sha256(requirements.read_bytes() + str(sorted(pythons)).encode()).hexdigest()[:16]
    place = cache / "wheels" / told
    if place.exists():
        return place
    say(f"fetching the packages of {requirements} for Python {' and '.join(sorted(pythons))} (once)")
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=place.parent) as scratch:
        made, flat = Path(scratch, "index"), Path(scratch, "flat")
        for python in sorted(pythons):
            call(
                [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:",
                 f"--python-version={python}", "--disable-pip-version-check", f"--dest={flat}", "-r", requirements],
                seconds=MINUTES * 60,
            )  # fmt: skip
        for wheel in sorted(flat.glob("*.whl")):
            package = made / re.sub("[-_.]+", "-", wheel.name.partition("-")[0]).lower()
            package.mkdir(parents=True, exist_ok=True)
            shutil.move(wheel, package / wheel.name)
        made.rename(place)
    return place
