"""Fault points, put into a platform's processes by the tests: Python imports this module by itself when it starts.

A point stands behind every step of Refmill's own code that changes the disk, the database, a ref or a process. Its name
is the way that led there, outermost first: `flows.receive.before > clients.database.events.announce : commit`. In the
folder REFMILL_TEST_FAULTS the file `record` asks for the names of all points that are reached (into `reached`), and
the file `armed` holds the name of the point at which the whole platform is to die as by the power switch of its
processes: SIGKILL to each; of several names, each on a line, they are reached one after the other, and the last one
kills. Stages' supervisors live on, as they do in real life. The file `clock` holds the seconds by which the clock is
wrong, for these processes and for the supervisors.
"""

from __future__ import annotations

import builtins
import functools
import importlib.abc
import importlib.machinery
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_FOLDER = os.environ.get("REFMILL_TEST_FAULTS", "")
_ROOMS = ("refmill.", "refmill_repos.", "refmill_web.")
_HELPERS = (
    "refmill.clients.files",
    "refmill.engine.attempts",
    "refmill.clients.database",
    "refmill_repos.children",
    "refmill_repos.refs",
)
"""Modules through which many go: what leads into them is part of a point's name."""
_COVERS = "refmill_web.monitoring.counting"
"""Stands before others and hands on: it is no part of a name, or many ways would have one."""
_known: set[tuple[str, str]] = set()


def _way() -> str:
    """The innermost function of ours, with those that led into it through helpers, and the one that called it."""
    frame = sys._getframe(2)
    names: list[str] = []
    while frame is not None and len(names) < 4:
        module = frame.f_globals.get("__name__", "")
        if frame.f_globals.get("__file__", "").endswith("/refmill/step/supervisor.py"):
            module = "refmill.step.supervisor"
        if module.startswith(_ROOMS) and module != _COVERS and not frame.f_code.co_name.startswith("<"):
            name = f"{module.partition('.')[2]}.{frame.f_code.co_qualname}"
            if not names or names[-1] != name:
                names.append(name)
            if len(names) >= 2 and not module.startswith(_HELPERS):
                break
        frame = frame.f_back
    return " > ".join(reversed(names))


def reached(step: str) -> None:
    """A point: the step is done."""
    way = _way()
    if not way:
        return
    name = f"{way} : {step}"
    try:
        with _open(os.path.join(_FOLDER, "record"), encoding="utf-8") as file:
            recording = file.read()
    except FileNotFoundError:
        recording = ""
    if recording and (recording, name) not in _known:
        _known.add((recording, name))
        _append(name)
    armed = os.path.join(_FOLDER, "armed")
    try:
        with _open(armed, encoding="utf-8") as file:
            wanted, _, then = file.read().partition("\n")
        if wanted == name and then:
            with _open(f"{armed}.{os.getpid()}", "w", encoding="utf-8") as file:
                file.write(then)
            _rename(f"{armed}.{os.getpid()}", armed)
        elif wanted == name:
            _die()
    except FileNotFoundError:
        return


def _append(name: str) -> None:
    descriptor = _os_open(os.path.join(_FOLDER, "reached"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, name.encode() + b"\n")
    os.close(descriptor)


def _die() -> None:
    """SIGKILL to the platform's parent and all below it that is no stage; this process last. Whoever comes second to a
    point raises FileNotFoundError."""
    _rename(os.path.join(_FOLDER, "parent"), os.path.join(_FOLDER, "victim"))  # before anybody can see that it dies
    _rename(os.path.join(_FOLDER, "armed"), os.path.join(_FOLDER, "armed.fired"))
    with _open(os.path.join(_FOLDER, "victim"), encoding="utf-8") as file:
        parent = int(file.read())
    if parent != os.getpid():
        _kill(parent, signal.SIGSTOP)  # so that it starts nothing anew meanwhile
    parents = _parents()
    below = _below(parent, parents)
    mine = [os.getpid()]
    while mine[-1] in below:
        mine.append(parents[mine[-1]])
    for pid in below:
        if pid not in mine:
            _kill(pid, signal.SIGKILL)
    _kill(parent, signal.SIGKILL)
    for pid in reversed(mine):  # last: whoever's parent dies is killed by the kernel before it can kill others
        _kill(pid, signal.SIGKILL)
    time.sleep(60)


def _parents() -> dict[int, int]:
    """The parent of each process. Names of processes are bytes, cut anywhere."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                found[int(entry.name)] = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
        except (OSError, IndexError):
            continue
    return found


def _below(parent: int, parents: dict[int, int]) -> list[int]:
    """All processes below the parent; supervisors, whose sessions are their own, are not: the fork server left them
    to init or to a subreaper when it forked twice."""
    found, todo = [], [parent]
    while todo:
        above = todo.pop()
        new = [pid for pid, other in parents.items() if other == above]
        found += new
        todo += new
    return found


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _behind(owner: Any, name: str, step: str, when: Callable[..., bool] = lambda *_, **__: True) -> None:
    """Put a point behind a function."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        result = original(*arguments, **options)
        if when(*arguments, **options):
            reached(step)
        return result

    setattr(owner, name, wrapper)


def _writes(*arguments: Any, **options: Any) -> bool:
    mode = options.get("mode", arguments[1] if len(arguments) > 1 else "r")
    return isinstance(mode, str) and any(letter in mode for letter in "wax+")


def _makes(path: Any, flags: int, *_: Any, **__: Any) -> bool:
    return bool(flags & (os.O_CREAT | os.O_TRUNC))


def _instrument() -> None:
    for name in (
        "rename", "replace", "link", "symlink", "unlink", "remove", "mkdir", "rmdir", "truncate", "ftruncate", "utime",
        "chmod", "fchmod", "mkfifo",
    ):  # fmt: skip
        _behind(os, name, name)
    _behind(os, "open", "create", _makes)
    _behind(io, "open", "create", _writes)
    _behind(builtins, "open", "create", _writes)
    _behind(subprocess.Popen, "__init__", "start")
    _behind(subprocess.Popen, "wait", "wait")


def _ahead() -> float:
    try:
        with _open(os.path.join(_FOLDER, "clock"), encoding="utf-8") as file:
            return float(file.read())
    except FileNotFoundError:
        return 0.0


def _set_clock() -> None:
    seconds, nanoseconds = time.time, time.time_ns
    time.time = lambda: seconds() + _ahead()
    time.time_ns = lambda: nanoseconds() + int(_ahead() * 1e9)


def _database(module: Any) -> None:
    _behind(module.DefaultDialect, "do_commit", "commit")


def _supervision(module: Any) -> None:
    """The step runner is started through `boot.py`, which brings the points into it."""
    made = module.Supervisors.__init__

    def make(self: Any, *arguments: Any) -> None:
        made(self, *arguments)
        self._command[-1:] = [str(Path(__file__).with_name("boot.py")), self._command[-1]]

    module.Supervisors.__init__ = make


_LATE = {"sqlalchemy.engine.default": _database, "refmill.engine.supervision": _supervision}


class _Later(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Puts points into modules as soon as they are imported."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in _LATE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader_state, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: Any) -> Any:
        return spec.loader_state.create_module(spec)

    def exec_module(self, module: Any) -> None:
        module.__spec__.loader_state.exec_module(module)
        _LATE[module.__name__](module)


if _FOLDER:
    if sys.argv[1:2] == ["up"] or "up" in getattr(sys, "orig_argv", [])[1:4]:
        Path(_FOLDER, "parent").write_text(str(os.getpid()), encoding="utf-8")
    _open, _os_open, _rename = open, os.open, os.rename
    _instrument()
    _set_clock()
    sys.meta_path.insert(0, _Later())


if __name__ == "__main__":  # a hook of git is at a point
    if Path(_FOLDER, "armed").read_text(encoding="utf-8") == sys.argv[1]:
        _die()
