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
SAID = 200
"""Characters that are told of what bubblewrap says when it fails."""
NO_USERNS = "--disable-userns"  # bubblewrap ≥ 0.8; in a user namespace of its own a stage could mount memory
SIZED = "--size"  # bubblewrap ≥ 0.7
CHOICES = ((NO_USERNS, SIZED), (SIZED,), ())
"""Options that not every bubblewrap and not every machine takes, the best choice first."""
SHARED = 64 << 20  # bytes of /dev/shm in a box that says nothing about memory

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store")
"""Where programs and libraries live; links among them (/bin -> usr/bin) are kept as links."""

ETC = (
    "alternatives", "ca-certificates", "ca-certificates.conf", "crypto-policies", "debian_version", "fonts", "gai.conf",
    "group", "host.conf", "hosts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "locale.alias", "localtime", "magic",
    "mime.types", "nsswitch.conf", "os-release", "passwd", "pki", "protocols", "resolv.conf", "services", "ssl",
    "timezone",
)  # fmt: skip
"""What programs need of /etc; the rest may hold secrets that our own user can read."""

KERNEL = ("/proc/sys", "/proc/sysrq-trigger")
"""Root may write them without any capability, and where the platform runs as root so would a stage."""

RESOLVERS = ("/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager/resolv.conf")
"""Where /etc/resolv.conf may point to."""


@dataclass(frozen=True, slots=True)
class Box:
    """What one command may touch: folders it may write to, folders it may read, its directory, what is read-only inside
    of the writable ones (linked inputs), whether it gets GPUs, which folder is its /tmp (None: one in memory), and
    whether it may use the network. `memory` (bytes) is what it may use; half of that, as Linux does by itself, may be
    shared memory."""

    writable: tuple[Path, ...]
    readable: tuple[Path, ...]
    cwd: Path
    read_only: tuple[Path, ...] = ()
    gpus: bool = False
    tmp: Path | None = None
    network: bool = True
    memory: int = 0


class Sandbox:
    """Wraps commands where bubblewrap works. `mode` and `network` are the settings of these names; `hidden` is a folder
    that no box shows but for what is named in it, also where it lies in what all boxes show (/opt, say)."""

    def __init__(
        self, mode: Mode = "auto", *, network: bool = True, hidden: Path | None = None, program: str = "bwrap"
    ) -> None:
        self._mode = mode
        self._network = network
        self._program = program
        place = None if hidden is None else os.path.realpath(hidden)
        shown = any(place == top or (place or "").startswith(top + "/") for top in map(os.path.realpath, SYSTEM))
        self._hidden = place if shown else None

    @functools.cached_property
    def works(self) -> bool:
        """Whether commands are boxed here."""
        return self._options is not None

    @property
    def _options(self) -> tuple[str, ...] | None:
        """The options of CHOICES that work here; None where no box does."""
        return self._tried[0]

    @functools.cached_property
    def _tried(self) -> tuple[tuple[str, ...] | None, Text | str]:
        """The options that work; where none do, what bubblewrap said to the plainest ones, "" if it was not asked."""
        program = shutil.which(self._program)
        why: Text | str = ""
        if self._mode == "off" or program is None:
            return None, why
        for options in CHOICES:
            why = self._failure(program, options)
            if not why:
                return options, ""
        return None, why

    def _failure(self, program: str, options: tuple[str, ...]) -> Text | str:
        """Why a box with these options does not work here; "" if it does."""
        box = Box((), (), Path("/"))
        inside = ["--", "/bin/sh", "-c", "test -x /bin/sh"]
        try:
            command = [program, *self._walls(box, options), *self._system(box, options), *self._sealed(), *inside]
            done = subprocess.run(command, check=False, timeout=PROBE_SECONDS, capture_output=True)
        except subprocess.TimeoutExpired:
            return text("no answer within %(seconds)s seconds", seconds=f"{PROBE_SECONDS:g}")
        except OSError as error:
            return error.strerror or str(error)
        if done.returncode == 0:
            return ""
        said = done.stderr.decode(errors="replace").strip()
        return said.splitlines()[-1][:SAID] if said else text("exit code %(code)s", code=done.returncode)

    def remedy(self) -> Text:
        """What is to be done where commands are not boxed and should be."""
        if why := self._tried[1]:
            return text("bwrap is there and fails: %(why)s", why=why)
        return text("install bubblewrap")

    def trouble(self) -> Text | None:
        """What people must know where commands are not boxed; None where they are."""
        if self.works:
            return None
        if self._mode == "require":
            return text("no sandbox works on this machine, and the setting “sandbox” requires one")
        return text(
            "stages run without a sandbox here: they can read and change what the server's user can, and use its"
            " network; so only repositories of trusted people run"
        )

    def refusal(self, owner: str, *, trusted: bool) -> Text | None:
        """Why a run of `owner` must not start here, or None."""
        if self.works or (trusted and self._mode != "require"):
            return None
        if self._mode == "require":
            return self.trouble()
        return text(
            "no sandbox works on this machine, so only repositories of trusted people run here, and %(owner)s is not"
            " one; trust them: `refmill user change %(owner)s --trusted`, or have a sandbox work: %(remedy)s",
            owner=owner,
            remedy=self.remedy(),
        )

    def wrap(self, command: Sequence[str], box: Box) -> list[str]:
        """`command` inside of `box`; unchanged where no sandbox works."""
        options = self._options
        if options is None:
            return list(command)
        program = shutil.which(self._program) or self._program
        arguments = [program, *self._walls(box, options), *self._system(box, options)]
        if box.gpus:
            arguments += [*_each("--dev-bind-try", _nvidia()), *_each("--ro-bind-try", ["/sys"])]
        arguments += [*_each("--ro-bind", map(os.fspath, box.readable)), *_each("--bind", map(os.fspath, box.writable))]
        arguments += _each("--ro-bind", map(os.fspath, box.read_only))
        return [*arguments, *self._sealed(), "--chdir", os.fspath(box.cwd), "--", *command]

    def _sealed(self) -> list[str]:
        """Last of all: these lie in memory that nobody counts, so that nothing is written there."""
        places = ["/dev", *([self._hidden] if self._hidden else []), "/"]
        return [word for place in places for word in ("--remount-ro", place)]

    def _walls(self, box: Box, options: tuple[str, ...]) -> list[str]:
        network = [] if self._network and box.network else ["--unshare-net"]
        return [
            "--die-with-parent", "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts",
            "--unshare-cgroup-try", "--cap-drop", "ALL", *network, *([NO_USERNS] if NO_USERNS in options else []),
        ]  # fmt: skip

    def _system(self, box: Box, options: tuple[str, ...]) -> list[str]:
        arguments: list[str] = []
        for place in SYSTEM:
            if os.path.islink(place):
                arguments += ["--symlink", os.readlink(place), place]
            else:
                arguments += ["--ro-bind-try", place, place]
        arguments += _each("--ro-bind-try", (f"/etc/{name}" for name in ETC))
        arguments += _each("--ro-bind-try", (*RESOLVERS, "/sys/devices/system/cpu"))
        own = "/tmp", "/dev/shm"  # noqa: S108 - the box's own
        kind = ["--tmpfs"] if box.tmp is None else ["--bind", os.fspath(box.tmp)]
        tmp, shared = ([*kind, place] for place in own)
        if SIZED in options:
            shared = [SIZED, str(box.memory // 2 or SHARED), "--tmpfs", own[1]]
        arguments += [
            "--proc",
            "/proc",
            *_each("--ro-bind-try", KERNEL),
            "--dev",
            "/dev",
            *tmp,
            *shared,
        ]
        hidden = ["--tmpfs", self._hidden] if self._hidden else []
        return [*arguments, *_each("--ro-bind", _python()), *hidden]


def _each(option: str, places: Iterable[str]) -> list[str]:
    return [word for place in places for word in (option, place, place)]


def _python() -> list[str]:
    """The Python that environments are made of, where it does not lie in the system (pyenv, uv, a user's own build)."""
    base = os.path.realpath(sys.base_prefix)
    return [] if base.startswith("/usr/") or base == "/usr" else list(dict.fromkeys([base, sys.base_prefix]))


def _nvidia() -> list[str]:
    return [f"/dev/{name}" for name in os.listdir("/dev") if name.startswith("nvidia")]
