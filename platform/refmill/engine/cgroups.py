"""Whether each stage can have a control group of its own, and below which group these are made.

Version 2 of the kernel's groups is used where it is delegated to us, else the controllers of version 1 that we may
write to, else none: then supervisors watch. A group with members cannot hand its controllers on in version 2, so that
stages have theirs beside the platform's, never below it: systemd is asked for that with `DelegateSubgroup=`, and in a
container of our own we make room by ourselves.

The rule to keep: whether they work is found out by using them, and where nobody gave us a group we make none.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from refmill import errors
from refmill.texts import Text, text

SCRIPT = Path(__file__).resolve().parent.parent / "step" / "starting.py"
PLATFORM = "platform"
"""The group into which the platform moves itself, in a container; the same word stands in our unit for systemd."""
NEEDED = ("pids", "memory")
PROBE_SECONDS = 30.0
TRIES = 20
"""Turns in which a group is emptied whose members start others meanwhile."""
WEIGHT = "50"
"""What all stages together have of the cores against the platform, as long as both want them: half of the usual. In
version 1 it would cost each stage a millisecond to enter one more hierarchy, and niceness does."""
Version: TypeAlias = Literal[0, 1, 2]


@dataclass(frozen=True, slots=True)
class Groups:
    """By controller the folder in which stages' groups are made, and the folder of the platform's own group; version 2
    knows one hierarchy, `unified`. Version 0 is none, and `why` says why not (None if nobody wanted any)."""

    version: Version = 0
    places: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    why: Text | None = None

    def spec(self, name: str) -> dict[str, Any] | None:
        """What a supervisor is told of the group that it has to make; None where there is none."""
        if not self.version:
            return None
        return {
            "version": self.version,
            "name": name,
            "places": {kind: list(both) for kind, both in self.places.items()},
        }

    def said(self) -> Text:
        """What people are told."""
        if self.version:
            return text(
                "each stage has a control group of its own (version %(version)s) that holds its processes and memory",
                version=self.version,
            )
        if self.why is None:
            return text("control groups are switched off: processes and memory of stages are watched")
        return text(
            "no control groups can be used here (%(why)s): processes and memory of stages are watched, five times a"
            " second",
            why=self.why,
        )

    def sweep(self, alive: Callable[[str], bool]) -> list[str]:
        """End and take away the groups whose names are not `alive`. Gives those in which something cannot be ended."""
        names = {name for parent, _ in self.places.values() for name in _below(parent)}
        return [name for name in sorted(names) if not alive(name) and not self._clear(name)]

    def leave(self) -> None:
        """Take away what is empty of what was made for the groups of stages."""
        for parent, _ in self.places.values():
            with contextlib.suppress(OSError):
                os.rmdir(parent)

    def check(self) -> None:
        """Make a group, see that it holds what is in it, and take it away. Raises Unavailable if something fails."""
        done = _run("--probe", self.spec(f"probe-{os.getpid()}"))
        if done is None or done.returncode:
            told = "" if done is None else done.stderr.decode(errors="replace").strip()
            raise errors.Unavailable(text("a trial of version %(version)s failed: %(detail)s", version=self.version,
                                          detail=told or "?"))  # fmt: skip

    def _clear(self, name: str) -> bool:
        done = _run("--clear", self.spec(name))
        return done is not None and done.returncode == 0


def find(setting: str, name: str, *, move: bool = True) -> Groups:
    """The groups that work here. `setting` is auto, off, or a group by its path; `name` is that of the group to be made
    for all stages. Without `move` no process is put into another group than it is in."""
    if setting == "off":
        return Groups()
    base = "" if setting == "auto" else setting
    try:
        mounts, own = _mounts(), _own()
    except OSError:
        return Groups(why=text("this system has none"))
    whys = []
    for make in (functools.partial(_second, move=move), _first):
        found = Groups()
        try:
            found = make(mounts, own, base, name)
            found.check()
        except errors.Unavailable as error:
            whys.append(error.message)
        except OSError as error:
            whys.append(text("%(path)s: %(detail)s", path=str(error.filename), detail=error.strerror or str(error)))
        else:
            return found
        found.leave()
    return Groups(why=text("%(one)s; %(other)s", one=whys[0], other=whys[1]))


def _second(
    mounts: Mapping[str, tuple[str, str]], own: Mapping[str, str], base: str, name: str, *, move: bool
) -> Groups:
    """Version 2. Raises OSError, Unavailable."""
    here = _place(mounts, own, "unified")
    top = _explicit(mounts, "unified", base) if base else _delegated(here, mounts["unified"][0])
    missing = set(NEEDED) - set(_read(top / "cgroup.controllers").split())
    if missing:
        lacking = ", ".join(sorted(missing))
        raise errors.Unavailable(text("%(group)s has not: %(kinds)s", group=str(top), kinds=lacking))
    try:
        _hand_on(top)
    except OSError as error:
        if error.errno != errno.EBUSY or base or not move:
            raise
        here = _make_room(top)
        _hand_on(top)
    parent = top / name
    parent.mkdir(exist_ok=True)
    _hand_on(parent)
    with contextlib.suppress(OSError):
        (parent / "cpu.weight").write_text(WEIGHT)
    return Groups(2, {"unified": (os.fspath(parent), os.fspath(here))})


def _first(mounts: Mapping[str, tuple[str, str]], own: Mapping[str, str], base: str, name: str) -> Groups:
    """Version 1. Raises OSError, Unavailable."""
    places: dict[str, tuple[str, str]] = {}
    try:
        for kind in NEEDED:
            here = _place(mounts, own, kind)
            parent = (_explicit(mounts, kind, base) if base else here) / name
            parent.mkdir(exist_ok=True)
            places[kind] = os.fspath(parent), os.fspath(here)
    except (OSError, errors.Unavailable):
        Groups(1, places).leave()
        raise
    return Groups(1, places)


def _mounts() -> dict[str, tuple[str, str]]:
    """By controller where its hierarchy is mounted, and which of its groups is at the top there. Raises OSError."""
    found: dict[str, tuple[str, str]] = {}
    for line in _read(Path("/proc/self/mountinfo")).splitlines():  # proc(5): … root place … - type source options
        before, _, after = line.partition(" - ")
        words, kinds = before.split(), after.split()
        if len(words) < 5 or len(kinds) < 3:
            continue
        place = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), words[4]), words[3]
        if kinds[0] == "cgroup2":
            found.setdefault("unified", place)
        elif kinds[0] == "cgroup":
            for option in kinds[2].split(","):
                found.setdefault(option, place)
    return found


def _own() -> dict[str, str]:
    """By controller the group in which this process is. Raises OSError."""
    found = {}
    for line in _read(Path("/proc/self/cgroup")).splitlines():  # cgroups(7): number:controllers:path
        _, kinds, path = line.split(":", 2)
        found.update(dict.fromkeys(kinds.split(",") if kinds else ["unified"], path))
    return found


def _place(mounts: Mapping[str, tuple[str, str]], own: Mapping[str, str], kind: str) -> Path:
    """The folder of this process's group. Raises Unavailable if it cannot be seen."""
    if kind not in mounts or kind not in own:
        raise errors.Unavailable(text("no hierarchy “%(kind)s” is mounted", kind=kind))
    mount, top = mounts[kind]
    below = os.path.relpath(own[kind], top)
    if below.startswith("..") or ".." in top.split("/"):  # the latter in a namespace that was mounted outside of it
        raise errors.Unavailable(text("the group %(group)s is not visible", group=own[kind]))
    return Path(mount) / below


def _explicit(mounts: Mapping[str, tuple[str, str]], kind: str, base: str) -> Path:
    if kind not in mounts:
        raise errors.Unavailable(text("no hierarchy “%(kind)s” is mounted", kind=kind))
    return Path(mounts[kind][0]) / base.lstrip("/")


def _delegated(here: Path, mount: str) -> Path:
    """The group of version 2 that was given to us, if we are in a group below it, or alone. Raises Unavailable."""
    if here == Path(mount):
        return here
    above = here.parent
    ours = here.name == PLATFORM and above == Path(mount)  # we have made room there before
    if not ours and not _marked(above):
        raise errors.Unavailable(text("%(group)s is not delegated", group=str(above)))
    return above


def _marked(folder: Path) -> bool:
    """Whether systemd says that this group is ours to arrange. Being allowed to is not enough: root always is."""
    getxattr: Callable[[Path, str], bytes] | None = getattr(os, "getxattr", None)
    try:
        return getxattr is not None and getxattr(folder, "user.delegate") == b"1"
    except OSError:
        return False


def _hand_on(folder: Path) -> None:
    """Have the controllers in the groups below. Raises OSError, EBUSY where something is in this one itself."""
    control = folder / "cgroup.subtree_control"
    # All at once: `pids` alone would be taken, and would leave a group that can have no `memory` below it.
    control.write_text(" ".join(f"+{kind}" for kind in NEEDED))
    with contextlib.suppress(OSError):
        control.write_text("+cpu")


def _make_room(top: Path) -> Path:
    """Move all that is in a container's topmost group into one below it. Raises OSError."""
    inner = top / PLATFORM
    inner.mkdir(exist_ok=True)
    for _ in range(TRIES):
        members = _read(top / "cgroup.procs").split()
        if not members:
            break
        for pid in members:
            try:
                (inner / "cgroup.procs").write_text(pid)
            except ProcessLookupError:
                continue
    return inner


def _below(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="surrogateescape")


def _run(option: str, group: dict[str, Any] | None) -> subprocess.CompletedProcess[bytes] | None:
    command = [sys.executable, "-I", "-S", str(SCRIPT), option, json.dumps(group)]
    try:
        return subprocess.run(command, check=False, timeout=PROBE_SECONDS, capture_output=True)
    except subprocess.TimeoutExpired:
        return None
