"""Puts a command into a box of its own with bubblewrap: it writes to its workspace, reads the system, sees no more.

The rule to keep: whether bubblewrap works is found out by running it. It is installed, and fails, on stock Ubuntu 24.04
(AppArmor) and inside of many containers.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from refmill.texts import Text, text

Mode: TypeAlias = Literal["auto", "off", "require"]
PROBE_SECONDS = 10.0

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store")
"""Where programs and libraries live; links among them (/bin -> usr/bin) are kept as links."""

ETC = (
    "alternatives", "ca-certificates", "ca-certificates.conf", "crypto-policies", "debian_version", "fonts", "gai.conf",
    "group", "host.conf", "hosts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "locale.alias", "localtime", "magic",
    "mime.types", "nsswitch.conf", "os-release", "passwd", "pki", "protocols", "resolv.conf", "services", "ssl",
    "timezone",
)  # fmt: skip
"""What programs need of /etc; the rest may hold secrets that our own user can read."""

RESOLVERS = ("/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager/resolv.conf")
"""Where /etc/resolv.conf may point to."""


@dataclass(frozen=True, slots=True)
class Box:
    """What one command may touch: folders it may write to, folders it may read, its directory, what is read-only inside
    of the writable ones (linked inputs), whether it gets GPUs, and which folder is its /tmp (None: one in memory)."""

    writable: tuple[Path, ...]
    readable: tuple[Path, ...]
    cwd: Path
    read_only: tuple[Path, ...] = ()
    gpus: bool = False
    tmp: Path | None = None


class Sandbox:
    """Wraps commands where bubblewrap works. `mode` and `network` are the settings of these names."""

    def __init__(self, mode: Mode = "auto", *, network: bool = True, program: str = "bwrap") -> None:
        self._mode = mode
        self._network = network
        self._program = program

    @functools.cached_property
    def works(self) -> bool:
        """Whether commands are boxed here."""
        program = shutil.which(self._program)
        if self._mode == "off" or program is None:
            return False
        command = [program, *self._walls(), *self._system(), "--", "/bin/sh", "-c", "test -x /bin/sh"]
        try:
            done = subprocess.run(command, check=False, timeout=PROBE_SECONDS, capture_output=True)
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0

    def refusal(self, owner: str, *, trusted: bool) -> Text | None:
        """Why a run of `owner` must not start here, or None."""
        if self.works or (trusted and self._mode != "require"):
            return None
        if self._mode == "require":
            return text("no sandbox works on this machine, and the setting “sandbox” requires one")
        return text(
            "no sandbox works on this machine, so only repositories of trusted people run here, and %(owner)s is not"
            " one; install bubblewrap, or trust them: `refmill user change %(owner)s --trusted`",
            owner=owner,
        )

    def wrap(self, command: Sequence[str], box: Box) -> list[str]:
        """`command` inside of `box`; unchanged where no sandbox works."""
        if not self.works:
            return list(command)
        program = shutil.which(self._program) or self._program
        arguments = [program, *self._walls(), *self._system(box.tmp)]
        if box.gpus:
            arguments += [*_each("--dev-bind-try", _nvidia()), *_each("--ro-bind-try", ["/sys"])]
        arguments += [*_each("--ro-bind", map(os.fspath, box.readable)), *_each("--bind", map(os.fspath, box.writable))]
        arguments += _each("--ro-bind", map(os.fspath, box.read_only))
        # The box's own root lies in memory that nobody counts; nothing is written there.
        return [*arguments, "--remount-ro", "/", "--chdir", os.fspath(box.cwd), "--", *command]

    def _walls(self) -> list[str]:
        network = [] if self._network else ["--unshare-net"]
        return [
            "--die-with-parent", "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts",
            "--unshare-cgroup-try", "--cap-drop", "ALL", *network,
        ]  # fmt: skip

    def _system(self, tmp: Path | None = None) -> list[str]:
        arguments: list[str] = []
        for place in SYSTEM:
            if os.path.islink(place):
                arguments += ["--symlink", os.readlink(place), place]
            else:
                arguments += ["--ro-bind-try", place, place]
        arguments += _each("--ro-bind-try", (f"/etc/{name}" for name in ETC))
        arguments += _each("--ro-bind-try", (*RESOLVERS, "/sys/devices/system/cpu"))
        own = ["--tmpfs", "/tmp"] if tmp is None else ["--bind", os.fspath(tmp), "/tmp"]  # noqa: S108 - the box's own
        arguments += ["--proc", "/proc", "--dev", "/dev", *own]
        return [*arguments, *_each("--ro-bind", _python())]


def _each(option: str, places: Iterable[str]) -> list[str]:
    return [word for place in places for word in (option, place, place)]


def _python() -> list[str]:
    """The Python that environments are made of, where it does not lie in the system (pyenv, uv, a user's own build)."""
    base = os.path.realpath(sys.base_prefix)
    return [] if base.startswith("/usr/") or base == "/usr" else list(dict.fromkeys([base, sys.base_prefix]))


def _nvidia() -> list[str]:
    return [f"/dev/{name}" for name in os.listdir("/dev") if name.startswith("nvidia")]
