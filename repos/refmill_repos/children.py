"""Git as a child process: one environment, one way to start it, arguments always as lists."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from refmill import errors
from refmill.texts import text

NOWHERE = "/nonexistent"
"""A home and a configuration directory without files: settings of whoever started the server change nothing."""

OPTIONS = (
    "-c", "safe.directory=*",  # the repositories are ours, whoever owns the mounted volume
    "-c", f"core.hooksPath={NOWHERE}",
    "-c", "core.fsync=committed,loose-object,reference",  # git's default leaves loose objects and refs to the kernel
    "-c", "gc.auto=0",
    "-c", "protocol.allow=never",  # no child of ours fetches from anywhere
)  # fmt: skip

_WATCHED = """
import os, signal, subprocess, sys, threading

def watch():
    os.read(0, 1)
    os.killpg(0, signal.SIGTERM)

try:
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, close_fds=False)
except FileNotFoundError:
    sys.exit(127)
threading.Thread(target=watch, daemon=True).start()
sys.exit(child.wait() % 256)
"""
"""Runs a command, and ends it with all its children once nobody holds the other end of its standard input: a `git gc`
of hours must not outlive a server that was killed, whose successor waits for its end."""
_NO_PROGRAM = 127

LOOK_SECONDS = 0.5
"""How often somebody who waits for a long command asks whether to go on."""


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of every git child: nothing inherited but PATH; `extra` on top."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": NOWHERE,
        "XDG_CONFIG_HOME": NOWHERE,
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",  # refs/replace would show other bytes than those that were hashed
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_DEFAULT_HASH": "sha1",
        "GIT_DEFAULT_REF_FORMAT": "files",
        "GIT_COMMITTER_NAME": "Refmill",
        "GIT_COMMITTER_EMAIL": "refmill@localhost",
        **(extra or {}),
    }


def quarantined(path: Path, quarantine: Path | None) -> dict[str, str]:
    """Variables under which a git child sees the objects of a push that is not accepted yet."""
    if quarantine is None:
        return {}
    return {"GIT_OBJECT_DIRECTORY": str(quarantine), "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(path / "objects")}


def run(
    arguments: Sequence[str],
    *,
    options: Sequence[str] = (),
    stdin: bytes = b"",
    extra: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    timeout: float = 120,
) -> bytes:
    """Run a short git command and give its output. Raises GitFailed with git's own words, Unavailable without git
    and when the disk is full."""
    command = ["git", *OPTIONS, *options, *arguments]
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, env=environment(extra), pass_fds=pass_fds, timeout=timeout,
            check=False, cwd="/",
        )  # fmt: skip
    except FileNotFoundError as error:
        raise no_git() from error
    except subprocess.TimeoutExpired as error:
        raise errors.Unavailable(text("git %(command)s took too long", command=arguments[0])) from error
    if done.returncode:
        raise _failure(arguments[0], done.returncode, done.stderr)
    return done.stdout


def run_long(
    arguments: Sequence[str], stopping: Callable[[], bool], *, options: Sequence[str] = (), pass_fds: Sequence[int] = ()
) -> None:  # fmt: skip
    """Run a git command that may take hours and whose output nobody needs; once `stopping` says so, or this process
    ends, it is ended with all its children. Raises GitFailed, and Unavailable as `run` does."""
    command = [sys.executable, "-I", "-S", "-c", _WATCHED, "git", *OPTIONS, *options, *arguments]
    reading, writing = os.pipe()
    try:
        try:
            child = subprocess.Popen(
                command, stdin=reading, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/", env=environment(),
                pass_fds=pass_fds, start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(reading)
        words, stopped = _ended(child, stopping)
    finally:
        os.close(writing)
    if child.returncode == _NO_PROGRAM:
        raise no_git()
    if child.returncode and not stopped:
        raise _failure(arguments[0], child.returncode, words)


def _ended(child: subprocess.Popen[bytes], stopping: Callable[[], bool]) -> tuple[bytes, bool]:
    """What a child said until its end, and whether it was stopped."""
    words, stopped = b"", False
    while True:
        try:
            _, words = child.communicate(timeout=LOOK_SECONDS)
            break
        except subprocess.TimeoutExpired:
            stopped = stopped or stopping()
        if stopped:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)  # git takes its locks and half-written packs away
    return words, stopped


def _failure(command: str, code: int, words: bytes) -> errors.RefmillError:
    """What a bad end of git means: a full disk is no fault of the repository, nor is somebody who killed git."""
    if code < 0:
        return errors.Unavailable(text("git %(command)s was ended by signal %(number)s", command=command, number=-code))
    told = words.decode(errors="replace")
    return errors.of_disk(told) or GitFailed(command, code, told)


def no_git() -> errors.Unavailable:
    """The error for a machine without the git program."""
    return errors.Unavailable(text("the git program is not there"), text("Install git and start Refmill again."))


class GitFailed(errors.Damaged):
    """A git command that should have worked did not; `words` is what it said."""

    def __init__(self, command: str, code: int, words: str) -> None:
        self.words = words.strip()
        super().__init__(text("git %(command)s ended with %(code)s: %(words)s", command=command, code=code,
                              words=self.words[:500]))  # fmt: skip
