"""Python environments of stages, made by `uv` from a requirements file and kept by its content.

An environment lies at `<root>/<digest>` and counts once its `refmill.json` stands there (pins, Python, requirements);
it is built in its final place, because the scripts in it hold their own path.

The rule to keep: one builds, the others wait; what a crash left half-built is thrown away by the next builder.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from refmill import errors
from refmill.engine import checkouts, indexes, requirements
from refmill.engine.holding import held
from refmill.engine.sandbox import Box, Sandbox
from refmill.texts import text

BUILD_SECONDS = 3600.0  # gigabytes of wheels over a slow line
SHOWN = 1500  # characters of uv's last words in an explanation
FORGET_FAILURE = 60.0  # seconds in which the other stages of a run are told the same, without trying again
READY = "refmill.json"


@dataclass(frozen=True, slots=True)
class Environment:
    """A finished environment: where it is, its digest, and what is installed (`name==version` lines)."""

    path: Path
    digest: str
    pins: tuple[str, ...] = ()

    @property
    def programs(self) -> Path:
        """What goes in front of PATH."""
        return self.path / "bin"


class Environments:
    """Finds or makes environments below `root`; `cache` is uv's own, `uv` its program."""

    def __init__(
        self, root: Path, cache: Path, *, uv: str, sandbox: Sandbox, python: str = sys.executable,
        wheels_only: bool = True, index: str = "",
    ) -> None:  # fmt: skip
        self._root, self._cache, self._uv, self._sandbox = root, cache, uv, sandbox
        self._python, self._wheels_only, self._index = python, wheels_only, index
        self._failures: dict[str, tuple[float, errors.RefmillError]] = {}
        self._guard = threading.Lock()

    def known(self, checkout: Path, path: str) -> Environment | None:
        """The environment for a requirements file, if it is there already; quick. Raises WrongUse."""
        digest = self._digest(checkout, path)
        return _finished(self._root / digest, digest)

    def ready(self, checkout: Path, path: str, *, trusted: bool = False) -> Environment:
        """The environment for the requirements file `path` of `checkout` ("" = Python alone), made if need be.

        Raises WrongUse for a file that must not be installed from, Unavailable with uv's last words if it fails.
        """
        digest = self._digest(checkout, path)
        place = self._root / digest
        if found := _finished(place, digest):
            return found
        with self._guard:
            when, failure = self._failures.get(digest, (0.0, None))
        if failure is not None and time.monotonic() - when < FORGET_FAILURE:
            raise failure
        self._root.mkdir(parents=True, exist_ok=True)
        with held(self._root / f"{digest}.lock"):
            if found := _finished(place, digest):
                return found
            try:
                return self._build(place, digest, checkout, path, trusted=trusted)
            except errors.RefmillError as error:
                checkouts.remove(place)
                checkouts.remove(place.with_name(place.name + ".cache"))
                with self._guard:
                    self._failures[digest] = (time.monotonic(), error)
                raise

    def _digest(self, checkout: Path, path: str) -> str:
        wanted = requirements.digest(checkout, path, builds=not self._wheels_only) if path else ""
        parts = [wanted, path, sys.version, self._python, platform.platform(), str(self._wheels_only), self._index]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _build(self, place: Path, digest: str, checkout: Path, path: str, *, trusted: bool) -> Environment:
        checkouts.remove(place)
        self._run(["venv", "--quiet", "--no-project", "--python", self._python, os.fspath(place)], self._root)
        pins: tuple[str, ...] = ()
        if path:
            install = ["pip", "install", "--python", os.fspath(place / "bin" / "python"), "--link-mode", "copy"]
            install += ["--only-binary", ":all:"] if self._wheels_only else []
            install += ["--no-progress", "--requirements", path]
            own = place.with_name(place.name + ".cache")
            box = self._box(place, own, checkout, trusted=trusted)
            self._run(install, checkout, box, own if box else None)
            checkouts.remove(own)
            # It starts the environment's Python, which a build may have exchanged.
            freeze = ["pip", "freeze", "--python", os.fspath(place / "bin" / "python")]
            look = Box((), (place, self._tools), place, network=False) if box else None
            pins = tuple(self._run(freeze, self._root, look, Path("/tmp/uv") if box else None).splitlines())  # noqa: S108
        facts = {"pins": pins, "python": sys.version.split()[0], "requirements": path}
        os.sync()  # uv does not: after a power cut the marker must not stand before what it vouches for
        temporary = place / (READY + ".tmp")
        temporary.write_text(json.dumps(facts, indent=1), encoding="utf-8")
        temporary.rename(place / READY)
        return Environment(place, digest, pins)

    @property
    def _tools(self) -> Path:
        return Path(self._uv).resolve().parent

    def _box(self, place: Path, cache: Path, checkout: Path, *, trusted: bool) -> Box | None:
        """Building a source package runs its code, so that happens in a sandbox or not at all; with a cache of its own,
        for what it leaves there would be everybody's."""
        if self._wheels_only or (trusted and not self._sandbox.works):
            return None
        if not self._sandbox.works:
            raise errors.Forbidden(text("source packages are built in a sandbox only, and none works on this machine"))
        checkouts.remove(cache)
        cache.mkdir(parents=True)
        return Box((place, cache), (checkout, self._tools), checkout)

    def _run(self, arguments: Sequence[str], cwd: Path, box: Box | None = None, cache: Path | None = None) -> str:
        config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "uv" / "uv.toml"
        # Never the configuration beside a pushed requirements file.
        chosen = ["--config-file", os.fspath(config)] if config.exists() and box is None else ["--no-config"]
        command = [self._uv, *arguments, "--color", "never", "--cache-dir", os.fspath(cache or self._cache), *chosen]
        if box is not None:
            command = self._sandbox.wrap(command, box)
        try:
            done = subprocess.run(
                command, cwd=cwd, env=self._environ(), check=False, timeout=BUILD_SECONDS,
                stdin=subprocess.DEVNULL, capture_output=True,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise errors.Unavailable(text("uv could not be run: %(detail)s", detail=str(error))) from error
        if done.returncode != 0:
            detail = done.stderr.decode("utf-8", "replace").strip()[-SHOWN:]
            raise errors.Unavailable(text("the environment could not be made: %(detail)s", detail=detail))
        return done.stdout.decode("utf-8", "replace")

    def _environ(self) -> Mapping[str, str]:
        own = {"PATH": os.environ.get("PATH", os.defpath), "HOME": os.fspath(self._root), "LC_ALL": "C.UTF-8"}
        return indexes.variables(os.environ, self._index) | own | {"UV_PYTHON_DOWNLOADS": "never"}


def _finished(place: Path, digest: str) -> Environment | None:
    try:
        facts = json.loads((place / READY).read_bytes())
        return Environment(place, digest, tuple(facts["pins"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError):
        return None  # not whole: it is built again
