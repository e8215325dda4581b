"""The Python environment of a stage with `requirements`: made once, kept by the server, unpacked by other pods.

An environment is named by what it was made of: what the requirements come to (the server's digest), and the Python
that it belongs to. It works only where it was made, so it always lies at the same place.

The rule to keep: only wheels are installed; building a source package would run code of strangers before anybody
asked for it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zlib
from typing import Dict, List

from refmill.step.pods import objects, proxies, workspace
from refmill.step.pods.faults import AttemptFailed
from refmill.step.pods.following import say
from refmill.step.pods.wire import Away, Refused, Unreadable, Wire

SECONDS = 3600  # gigabytes of wheels over a slow line
SHOWN = 1500  # characters of the last words in an explanation
READY = "refmill.ready"
"""Stands in an environment that is whole."""


def ready(folder: str, wire: Wire, url: str, root: str, requirements: str, digest: str, env: Dict[str, str]) -> str:
    """The environment for the file `requirements` below `root`, in `folder`. `url` + its name is where the server keeps
    it, if it gave a `digest`; `env` is what `uv` and `pip` are started with. Raises AttemptFailed, Away."""
    name = named(root, requirements, digest)
    place = os.path.join(folder, name)
    if os.path.exists(os.path.join(place, READY)):
        return place
    os.makedirs(folder, exist_ok=True)
    archive = place + ".tar.gz"
    if not (digest and _brought(wire, url + name, archive, place)):
        workspace.remove(place)
        _make(place, root, requirements, env)
        with open(os.path.join(place, READY), "wb"):
            pass
        if digest:
            _give(wire, url + name, archive, place)
    workspace.remove(archive)
    return place


def index(address: str) -> Dict[str, str]:
    """The variables with which `uv` and `pip` take packages from there; none for "". pip believes no index without TLS
    that it is not told to believe; the operator who names one does."""
    if not address:
        return {}
    scheme, _, rest = address.partition("://")
    trusted = {"PIP_TRUSTED_HOST": rest.partition("/")[0]} if scheme == "http" else {}
    return {"UV_DEFAULT_INDEX": address, "PIP_INDEX_URL": address, **trusted}


def named(root: str, requirements: str, digest: str) -> str:
    """The name of the environment: lower-case letters, digits, dots and dashes."""
    python = "%s %s %s" % (sys.version, os.path.realpath(sys.executable), platform.libc_ver())
    belongs = hashlib.sha256(python.encode()).hexdigest()[:12]
    made_of = digest or hashlib.sha256(_read(root, requirements)).hexdigest()
    version = "py%d.%d" % sys.version_info[:2]
    name = "-".join([made_of[:64], version, sysconfig.get_platform(), belongs]).lower()
    return re.sub("[^a-z0-9.-]", "-", name)[:128]


def _read(root: str, requirements: str) -> bytes:
    descriptor = workspace.open_inside(root, os.path.normpath(requirements))
    if descriptor is None:
        raise AttemptFailed("environment", "%s: there is no such file in the repository" % requirements)
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def _brought(wire: Wire, url: str, archive: str, place: str) -> bool:
    """Whether the server had it, whole. One that is damaged is made anew."""
    try:
        objects.fetch_whole(wire, url, archive)
        workspace.remove(place)
        workspace.unpack(archive, place)
    except Refused as error:
        if error.status != 404:
            say("the environment is not fetched: %s" % error)
        return False
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        say("the environment is not fetched: %s" % error)
        return False
    return os.path.exists(os.path.join(place, READY))


def _give(wire: Wire, url: str, archive: str, place: str) -> None:
    """Let others have it. Whatever stands against that is no fault of the stage."""
    try:
        workspace.pack(place, archive)
        wire.ask("PUT", url, archive, {"Content-Type": "application/gzip"})
    except (OSError, Refused, Away, Unreadable) as error:
        say("the environment is not kept: %s" % error)


def _make(place: str, root: str, requirements: str, env: Dict[str, str]) -> None:
    _read(root, requirements)
    uv = shutil.which("uv", path=env.get("PATH"))
    python = os.path.join(place, "bin", "python")
    say("making the environment of %s" % requirements)
    if uv:
        quiet = ["--no-config", "--color", "never"]
        _run([uv, "venv", "--quiet", "--no-project", "--python", sys.executable, *quiet, place], root, env)
        install = [uv, "pip", "install", "--python", python, "--link-mode", "copy", "--no-progress", *quiet]
    else:
        _run([sys.executable, "-m", "venv", place], root, env)
        install = [python, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
    _run([*install, "--only-binary", ":all:", "-r", requirements], root, env)


def _run(command: List[str], cwd: str, env: Dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command, cwd=cwd, env={**env, "UV_PYTHON_DOWNLOADS": "never"}, check=False, timeout=SECONDS,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AttemptFailed("environment", "%s could not be run: %s" % (os.path.basename(command[0]), error)) from error
    if done.returncode:
        words = proxies.masked(done.stdout.decode("utf-8", "replace"), env).strip()
        raise AttemptFailed("environment", words[-SHOWN:] or "%s ended with %d" % (command[0], done.returncode))
