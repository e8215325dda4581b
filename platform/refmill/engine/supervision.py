"""Attempts of stages as directories, and the supervisors that live in them (`refmill/step/supervisor.py`).

The rule to keep: an attempt is over when `exit.json` stands, alive while its `lock` is held, and lost when neither is.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from refmill import errors
from refmill.engine import machine
from refmill.model.runs import Usage
from refmill.texts import text

SCRIPT = Path(__file__).resolve().parent.parent / "step" / "supervisor.py"
MARKER = "REFMILL_ATTEMPT"
REAP_SECONDS = 30.0  # the supervisor gives up on stubborn processes after ten
LIVE_SIGNS: TypeAlias = Literal["exited", "alive", "lost"]


@dataclass(frozen=True, slots=True)
class Exit:
    """How an attempt ended. `reason` is one of exited, timeout, memory, processes, disk, files, deep, disk-full,
    stopped, lost, start-failed; `started` is UTC microseconds, `seconds` are monotonic."""

    reason: str
    detail: str
    code: int | None
    signal: int | None
    started: int
    seconds: float
    usage: Usage


def signs(directory: Path) -> LIVE_SIGNS:
    """Whether the attempt in `directory` is over, alive or lost. Another boot's exit that nobody collected is lost:
    its outputs may not have reached the disk."""
    if (directory / "exit.json").exists():
        return "exited" if _same_boot(directory) else "lost"
    try:
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return "lost"
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "alive"
    finally:
        os.close(descriptor)
    return "exited" if (directory / "exit.json").exists() else "lost"


def exit_of(directory: Path) -> Exit:
    """What exit.json says. Raises Damaged if it is none."""
    try:
        return exit_from(json.loads((directory / "exit.json").read_bytes()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = text("%(path)s cannot be read: %(detail)s", path=str(directory / "exit.json"), detail=str(error))
        raise errors.Damaged(message) from error


def exit_from(found: Any) -> Exit:
    """What the supervisor wrote, or `dataclasses.asdict` made of it. Raises ValueError, KeyError, TypeError."""
    used = found["usage"]
    usage = Usage(
        float(used["cpu_seconds"]), int(used["peak_memory"]), written_bytes=int(used.get("written_bytes", 0)),
        gpu_memory=int(used.get("gpu_memory", 0)),
    )  # fmt: skip
    return Exit(
        found["reason"], found["detail"], found["code"], found["signal"], found["started"], found["seconds"], usage
    )


def started(directory: Path) -> int | None:
    """When a living attempt began (UTC microseconds), as its supervisor wrote into the lock."""
    try:
        return int(json.loads((directory / "lock").read_bytes())["started"])
    except (OSError, ValueError, KeyError):
        return None


def spec_of(directory: Path) -> Mapping[str, Any]:
    """The spec that an attempt was started with; {} if it is gone."""
    try:
        found: Mapping[str, Any] = json.loads((directory / "spec.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found


def stop(directory: Path) -> None:
    """Ask for the end of an attempt; its supervisor looks five times a second."""
    (directory / "stop").touch()


class Supervisors:
    """Starts supervisors through one warm fork server: two milliseconds each instead of forty."""

    def __init__(self, python: str = sys.executable) -> None:
        self._command = [python, "-I", "-S", str(SCRIPT)]
        self._guard = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None

    def start(self, directory: Path, spec: Mapping[str, Any], secrets: Mapping[str, str] | None = None) -> None:
        """Begin the attempt in `directory`, which exists and is empty of specs. On return its lock is held or it is
        over. `secrets` are variables of the environment that stay out of the spec and the log. Raises Unavailable."""
        if secrets:
            _hand_over(directory / "secrets.json", secrets)
        path = directory / "spec.json"
        temporary = directory / "spec.json.tmp"
        temporary.write_text(json.dumps({**spec, "boot": machine.boot()}), encoding="utf-8")
        temporary.rename(path)
        with self._guard:
            answer = self._ask(path) or self._ask(path)
        # A server that died before it could answer may have started the attempt: then the second one is refused.
        if not answer.startswith(b"started") and signs(directory) == "lost":
            raise errors.Unavailable(text("no process could be started for %(path)s", path=str(directory)))

    def reap(self, directory: Path) -> bool:
        """End what a dead supervisor left running, and mark the attempt as lost. False if something cannot be ended."""
        spec = directory / "spec.json"
        if not spec.exists():
            return True
        command = [*self._command, "--reap", str(spec)]
        done = subprocess.run(command, check=False, timeout=REAP_SECONDS, capture_output=True)
        return done.returncode in (0, 3)

    def close(self) -> None:
        """Let the server go; its supervisors stay."""
        with self._guard:
            if self._server is not None:
                self._end(self._server)
                self._server = None

    def _ask(self, path: Path) -> bytes:
        """The server's answer; b"" if it died, after which the next call has a new one."""
        if self._server is None:
            self._server = subprocess.Popen(
                [*self._command, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        server = self._server
        if server.stdin is None or server.stdout is None:
            raise errors.Unavailable(text("the fork server has no pipes"))
        try:
            server.stdin.write(os.fsencode(path) + b"\n")
            server.stdin.flush()
            answer = server.stdout.readline()
        except BrokenPipeError:
            answer = b""
        if not answer:
            self._end(server)
            self._server = None
        return answer

    @staticmethod
    def _end(server: subprocess.Popen[bytes]) -> None:
        for pipe in (server.stdin, server.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass
        server.wait()


def _hand_over(path: Path, secrets: Mapping[str, str]) -> None:
    """For the supervisor alone, which takes the file away before it starts anything."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(dict(secrets), file)


def _same_boot(directory: Path) -> bool:
    return bool(spec_of(directory).get("boot", "") == machine.boot())
