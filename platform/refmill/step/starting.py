"""Starts a command: in a session of its own, in a control group from its first instruction on, its output in two pipes.

`starting.py --probe GROUP` finds out whether a control group works here, by using it, and `starting.py --clear GROUP`
ends what is left in one and takes it away; GROUP is JSON, as in a SPEC.

Without a group, and in one of version 1, `subprocess` does it: by `vfork`, which copies nothing. To move into a group
of version 2 may take the kernel tens of milliseconds (it waits for all cores), so that there the command is born
inside, by `clone3`. That is a real fork; its parent stands still meanwhile, so that no page of it need be copied.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import signal
import subprocess
import sys
from typing import IO, Any, NamedTuple, NoReturn

if __name__ == "__main__":  # started by path: the folder above the package is not on the path yet
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from refmill.step import groups

CLONE3 = 435  # the same number on every architecture but Alpha
CLONE_VFORK = 0x4000
CLONE_INTO_CGROUP = 0x200000000  # Linux 5.7
WORDS = 11  # of 64 bits in `struct clone_args`, the last of them the group
UNKNOWN = (errno.ENOSYS, errno.EINVAL, errno.EPERM)  # an older kernel, or a container that does not allow it
BORN = b"+"  # what it says first
PROBED = 2  # processes with which one tries
ROOM = 64 << 20  # bytes; a limit that any process keeps
FAILED = 127  # what a shell says of a command that cannot be run

_library: Any = ctypes.PyDLL(None, use_errno=True)  # it keeps Python's lock, which a child must have


class Started(NamedTuple):
    """A process that runs, and what it prints."""

    pid: int
    stdout: IO[bytes]
    stderr: IO[bytes]


def start(argv: list[str], cwd: str, env: dict[str, str], group: groups.Group | None) -> Started:
    """Start it. Raises OSError, ValueError."""
    folder = group.unified if group is not None else ""
    if folder:
        with contextlib.suppress(_Unknown):
            return _born_in(folder, argv, cwd, env)
    with group.inside() if group is not None else contextlib.nullcontext():
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd, env=env,
            start_new_session=True,
        )  # fmt: skip
    process.returncode = 0  # who started it waits for all children, so that `subprocess` need not
    if process.stdout is None or process.stderr is None:
        raise OSError("no pipes")  # never: both were asked for
    return Started(process.pid, process.stdout, process.stderr)


class _Unknown(Exception):
    """The kernel does not know this way, or has killed who went it."""


def probe(group: groups.Group) -> str:
    """What does not work, "" if all does: it makes the group, and tries its walls and its end."""
    begun: list[Started] = []
    try:
        group.make(PROBED, ROOM)
        with contextlib.suppress(BlockingIOError):
            for _ in range(PROBED + 1):
                process = start(["/bin/sh", "-c", "kill -STOP $$"], "/", {"PATH": os.defpath}, group)
                begun.append(process)  # one by one: the last is refused
        if not begun or group.members() != sorted(process.pid for process in begun):
            return "what is started inside is not inside"
        if group.passed() != "processes" or not group.counts:
            return "the kernel does not count what it refuses"
    except (OSError, KeyError) as error:
        return str(error)
    finally:
        cleared = group.clear()
    return "" if cleared else "what is inside cannot be ended"


def _born_in(folder: str, argv: list[str], cwd: str, env: dict[str, str]) -> Started:
    """As `start`, by `clone3`. Raises OSError, ValueError, _Unknown."""
    if any("\0" in word for word in (*argv, *env, *env.values())):
        raise ValueError("embedded null byte")
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    outputs, errors, failure = os.pipe(), os.pipe(), os.pipe()
    try:
        pid = _clone(place)
        if pid == 0:
            _become(argv, cwd, env, outputs[1], errors[1], failure[1])
    except BaseException:
        os.close(outputs[0])
        os.close(errors[0])
        os.close(failure[0])
        raise
    finally:
        for descriptor in (place, outputs[1], errors[1], failure[1]):
            os.close(descriptor)
    started = Started(pid, os.fdopen(outputs[0], "rb", 0), os.fdopen(errors[0], "rb", 0))
    with os.fdopen(failure[0], "rb") as pipe:
        told = pipe.read()
    if told == BORN:
        return started
    os.waitpid(pid, 0)
    started.stdout.close()
    started.stderr.close()
    if not told:  # whoever is born from a group that `cgroup.kill` was used on is killed in any other one
        raise _Unknown
    number, _, name = told[len(BORN) :].partition(b" ")
    raise OSError(int(number), os.strerror(int(number)), os.fsdecode(name))


def _clone(place: int) -> int:
    """The new process's number, 0 in itself. Raises OSError, _Unknown."""
    words = (ctypes.c_uint64 * WORDS)()
    words[0], words[4], words[WORDS - 1] = CLONE_VFORK | CLONE_INTO_CGROUP, signal.SIGCHLD, place
    pid: int = _library.syscall(CLONE3, ctypes.byref(words), ctypes.sizeof(words))
    if pid < 0:
        number = ctypes.get_errno()
        if number in UNKNOWN:
            raise _Unknown
        raise OSError(number, os.strerror(number))
    return pid


def _become(argv: list[str], cwd: str, env: dict[str, str], out: int, err: int, failure: int) -> NoReturn:
    """In the child: become the command, or tell why not. It owns nothing here: no destructor may run."""
    name = cwd
    try:
        os.write(failure, BORN)
        for ignored in ("SIGPIPE", "SIGXFSZ"):  # by Python; a command expects what is usual
            signal.signal(getattr(signal, ignored), signal.SIG_DFL)
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.chdir(cwd)
        name = argv[0]
        os.execvpe(argv[0], argv, env)  # noqa: S606 - the command is what a supervisor is for
    except OSError as error:
        os.write(failure, b"%d %s" % (error.errno or errno.EIO, os.fsencode(name)))
    finally:
        os._exit(FAILED)
    sys.exit(FAILED)


def main(arguments: list[str]) -> int:
    """The command line; see the module's description."""
    if len(arguments) != 2 or arguments[0] not in ("--probe", "--clear"):
        sys.stderr.write("usage: starting.py --probe GROUP | --clear GROUP\n")
        return 2
    group = groups.Group(json.loads(arguments[1]))
    if arguments[0] == "--clear":
        return 0 if group.clear() else 4
    why = probe(group)
    sys.stderr.write(why)
    return 1 if why else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
