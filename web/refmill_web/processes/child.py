"""What every child of the parent does first: die with it, log, and tell when it is ready."""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from refmill.model.fences import Fence
from refmill.settings import Settings
from refmill_web.processes import fencing

PR_SET_PDEATHSIG = 1
SETTINGS = "REFMILL_CHILD"
"""The environment variable in which the parent hands its settings and descriptors down, as JSON."""


def begin(name: str) -> tuple[Settings, dict[str, Any]]:
    """The settings that the parent hands down, and the rest of what it says."""
    handed = json.loads(os.environ.pop(SETTINGS))
    values: dict[str, Any] = handed.pop("settings")
    settings = Settings(**values | {"data": Path(values["data"])})
    die_with_parent(handed["parent"])
    fencing.watch_child(handed)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr,
        format=f"%(asctime)s {name:<8} %(levelname)-7s %(message)s",
    )  # fmt: skip
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return settings, handed


def fence(handed: dict[str, Any]) -> Fence | None:
    """What the server's transactions are checked against."""
    return Fence(*handed["fence"]) if handed["fence"] is not None else None


def ready(handed: dict[str, Any]) -> None:
    """Tell the parent that this process does its work now."""
    descriptor = int(handed["ready"])
    with contextlib.suppress(BrokenPipeError):  # gunicorn has made its worker anew, long after anybody waits for it
        os.write(descriptor, b"1")
    os.close(descriptor)


def die_with_parent(parent: int) -> None:
    """End at once when the parent ends, however it ends: by the kernel on Linux, by looking elsewhere. What would end
    in its own time would hold the platform's address, or work beside its successor."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)
