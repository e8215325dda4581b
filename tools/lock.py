"""Pins every dependency with its hashes: `make lock`; `make lock LOCK_ARGS=--upgrade` takes newer versions.

The rule to keep: a lock names no download address, so that it installs from whichever index a machine uses.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "requirements"

# Each lock, and what goes into it. The later ones agree with the runtime, so that one environment can hold them all.
WANTED = {
    "runtime.lock": ["pyproject.toml"],
    "bootstrap.lock": ["--group", "bootstrap", "--constraint", "requirements/runtime.lock"],
    "build.lock": ["--group", "build", "--constraint", "requirements/runtime.lock"],
    "go.lock": ["--group", "go"],
    "dev.lock": ["pyproject.toml", "--group", "dev", "--constraint", "requirements/runtime.lock"],
}


def main(arguments: list[str]) -> None:
    """Write all locks; `arguments` are handed to `uv pip compile`."""
    LOCKS.mkdir(exist_ok=True)
    for name, sources in WANTED.items():
        command = [
            str(Path(sys.executable).with_name("uv")), "pip", "compile", *sources,
            "--universal", "--python-version", "3.11", "--generate-hashes",
            "--no-emit-index-url", "--no-emit-find-links", "--no-annotate",
            "--custom-compile-command", "make lock", "--quiet",
            "--output-file", f"requirements/{name}", *arguments,
        ]  # fmt: skip
        subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
