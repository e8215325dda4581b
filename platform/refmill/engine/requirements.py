"""Requirements files of a pushed repository: what they include, what they name, and what they must not.

The rule to keep: whatever could read another folder of this machine, a variable of our environment, or run foreign
code outside of a sandbox is refused by name before `uv` sees it. (Format: pip's "Requirements File Format".)
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from refmill import errors
from refmill.texts import Text, text

LIMIT = 1 << 20  # bytes of one requirements file
WHEEL_LIMIT = 1 << 30  # bytes of a wheel in the repository
ARCHIVES = (".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz")
FILES = 50  # requirements files and wheels together
INCLUDES = {"-r": "-r", "--requirement": "-r", "-c": "-c", "--constraint": "-c"}
PLACES = {"-f", "--find-links"}
ALLOWED = {"-i", "--index-url", "--extra-index-url", "--no-index", "--pre", "--require-hashes", "--only-binary"}
NAMED = re.compile(
    r"[a-z0-9][a-z0-9._-]*\s*(?:\[[a-z0-9._,\s-]*\]\s*)?"
    r"(?:(?P<at>@\s*(?P<scheme>https?|git\+https)://\S+)|\(?\s*[<>=!~][^/\\:@]*)?",
    re.IGNORECASE,
)
"""A package by its name: extras, then an address or versions (PEP 508, without markers). Whatever else `uv` may take a
line for, above all for a path, is not let through."""
CONTINUED = re.compile(r"\\\r?\n")
COMMENT = re.compile(r"(?:^|\s)#.*")


@dataclass(slots=True)
class _Reading:
    """What was seen so far: each file's bytes by its path from the root."""

    root: Path
    builds: bool
    files: dict[str, bytes] = field(default_factory=dict)


def digest(root: Path, path: str, *, builds: bool = False) -> str:
    """SHA-256 over the requirements file at `path` below `root`, all it includes and all wheels it names in there.

    `builds` allows source packages and version control addresses. Raises WrongUse for anything that must not be.
    """
    reading = _Reading(root, builds)
    _file(reading, path, path)
    whole = hashlib.sha256()
    for name, data in sorted(reading.files.items()):
        whole.update(f"{name}\0{hashlib.sha256(data).hexdigest()}\n".encode())
    return whole.hexdigest()


def _file(reading: _Reading, path: str, named: str) -> None:
    if path in reading.files:
        return
    data = _read(reading, path, named, LIMIT)
    try:
        lines = CONTINUED.sub(" ", data.decode("utf-8-sig")).replace("\r", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise _refused(path, named, text("it is not UTF-8")) from error
    for line in (COMMENT.sub("", line).strip() for line in lines):
        if line:
            _line(reading, path, line)


def _line(reading: _Reading, path: str, line: str) -> None:
    if "${" in line:
        raise _refused(path, line, text("variables are not filled in"))
    if line.startswith("-"):
        option, _, value = line.replace("=", " ", 1).partition(" ")
        if line[1] != "-" and len(option) > 2:  # -rother.txt
            option, value = line[:2], line[2:]
        _option(reading, path, option, value.strip())
        return
    requirement = line.partition(";")[0].partition(" --hash")[0].strip()
    if requirement.endswith(".whl") and "@" not in requirement and ":" not in requirement:
        _read(reading, _below(reading, "", requirement, path), line, WHEEL_LIMIT)
        return
    found = NAMED.fullmatch(requirement)
    sourced = found is not None and (found["scheme"] or "").startswith("git") and not reading.builds
    if found is None or sourced or (not found["at"] and requirement.endswith(ARCHIVES)):
        reason = text("only packages of an index, wheels of this repository and https:// addresses work")
        raise _refused(path, line, reason)


def _option(reading: _Reading, path: str, option: str, value: str) -> None:
    line = f"{option} {value}".strip()
    if option in INCLUDES:
        _file(reading, _below(reading, path, value, path), line)
    elif option in PLACES:
        if value.startswith(("https://", "http://")):
            return
        if ":" in value:
            raise _refused(path, line, text("wheels are found in a folder of this repository or at an http address"))
        folder = _below(reading, "", value, path)
        for wheel in sorted((reading.root / folder).glob("*.whl")):
            _read(reading, f"{folder}/{wheel.name}", line, WHEEL_LIMIT)
    elif option not in ALLOWED:
        raise _refused(path, line, text("this option is not supported here"))
    elif "file:" in value.lower():
        raise _refused(path, line, text("an index must have an http address"))


def _below(reading: _Reading, origin: str, value: str, path: str) -> str:
    """`value` seen from the folder of `origin`, as a path from the root that stays inside and passes no link."""
    joined = os.path.normpath(os.path.join(os.path.dirname(origin), value))
    if os.path.isabs(value) or joined == ".." or joined.startswith("../") or "\0" in value:
        raise _refused(path, value, text("paths must stay inside of the repository"))
    real = Path(os.path.realpath(reading.root / joined))
    if real != Path(os.path.realpath(reading.root)) / joined:
        raise _refused(path, value, text("paths must not lead through links"))
    return joined


def _read(reading: _Reading, path: str, line: str, limit: int) -> bytes:
    place = reading.root / _below(reading, "", path, path)
    try:
        if place.stat().st_size > limit or len(reading.files) >= FILES:
            raise _refused(path, line, text("it is too large"))
        data = place.read_bytes()
    except OSError as error:
        raise _refused(path, line, text("there is no such file")) from error
    reading.files[path] = data
    return data


def _refused(path: str, line: str, reason: Text) -> errors.WrongUse:
    return errors.WrongUse(text("%(path)s: “%(line)s”: %(reason)s", path=path, line=line[:200], reason=reason))
