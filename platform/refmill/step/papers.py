"""What an attempt's folder holds beside its log: the spec, the lock, the secrets, and at last exit.json.

The rule to keep: exit.json is there whole or not at all, and whoever has the lock is the only one who writes it.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from typing import Any

KEPT = 4096  # bytes that are kept free for exit.json
ROOM = 3600.0  # seconds to wait for room on the disk for exit.json


def take_lock(directory: str) -> int | None:
    """The attempt's lock as an open descriptor, or None if somebody has it or the attempt is over already."""
    descriptor = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    if os.path.exists(os.path.join(directory, "exit.json")):
        os.close(descriptor)
        return None
    return descriptor


def write_exit(directory: str, result: dict[str, Any], notify: str) -> None:
    """Put exit.json in its place and tell the engine.

    It outlives any process. That it outlives a power cut is not needed: the outputs beside it need not do so either,
    so that the engine takes what another boot left for lost until it has collected it.
    """
    temporary = os.path.join(directory, "exit.json.tmp")
    until = time.monotonic() + ROOM
    while True:
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                written = os.write(descriptor, json.dumps(result).encode())  # whole: its room is kept, or all is new
                os.ftruncate(descriptor, written)
            finally:
                os.close(descriptor)
            os.rename(temporary, os.path.join(directory, "exit.json"))
            break
        except OSError:  # a full disk: what the command did must not be called lost for that
            if not os.path.isdir(directory) or time.monotonic() > until:
                raise
            time.sleep(1)
    if notify:
        try:
            bell = os.open(notify, os.O_WRONLY | os.O_NONBLOCK)
            os.write(bell, os.fsencode(directory) + b"\n")  # whole or not at all below PIPE_BUF
            os.close(bell)
        except OSError:
            pass  # only a hint: the engine looks by itself, and a later engine finds the file


def keep_room(directory: str) -> None:
    """Have room for exit.json, also if the command fills the disk. Raises OSError if there is none now."""
    with open(os.path.join(directory, "exit.json.tmp"), "wb") as file:
        file.write(b" " * KEPT)


def load(path: str) -> dict[str, Any]:
    """A spec from its file."""
    with open(path, encoding="utf-8") as file:
        spec: dict[str, Any] = json.load(file)
        return spec


def take_secrets(directory: str) -> dict[str, str]:
    """The attempt's secrets, which from here on are in memory alone."""
    path = os.path.join(directory, "secrets.json")
    try:
        with open(path, encoding="utf-8") as file:
            secrets: dict[str, str] = json.load(file)
    except OSError:
        return {}
    os.unlink(path)
    return secrets
