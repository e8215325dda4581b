"""A resolver's child: sets its own limits, rehearses, waits for one connection, answers it and is gone."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn, TypeAlias

from refmill import errors
from refmill.clients import codec, dvc_parsing
from refmill.clients.remembering.resolution import RecordingTree
from refmill.clients.resolver import frames
from refmill.clients.resolver.warming import SAMPLE, MemoryTree
from refmill.model.placement import Allowed
from refmill.ports.resolver import Checked, Source
from refmill.ports.trees import Tree
from refmill.problems import Problem

OUT_OF_MEMORY, FAILED = 3, 4
"""Exit codes of a child that could not answer."""
_REQUEST_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one child may use: bytes of its own memory, seconds of CPU and of the clock; how many work at the same
    time, and how many more stand ready."""

    memory: int = 1 << 30
    cpu: int = 10
    wall: float = 20.0
    children: int = 8
    spare: int = 2


Further: TypeAlias = Callable[[Tree, Checked], Sequence[Problem]]


def nothing_further(_tree: Tree, _checked: Checked) -> Sequence[Problem]:
    """Where nobody but DVC's parser has a say."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a child does: `open_tree` opens the files of a source, `further` tells what else is wrong in a project that
    can be understood, the rest is for `dvc_parsing.check`."""

    open_tree: Callable[[Source], Tree]
    max_stages: int
    containers: bool = False
    allowed: Allowed | None = None
    further: Further = nothing_further


def work(control: socket.socket, task: Task, limits: Limits) -> NoReturn:
    """A child's whole life after the fork; never returns and runs no exit handlers of the parent.

    The one connection to answer comes over `control`; when the parent is gone, so is the child.
    """
    status = FAILED
    try:
        _confine(control, limits)
        rehearse(task.max_stages)
        with control:
            _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        status = 0
        if descriptors:
            with socket.socket(fileno=descriptors[0]) as connection:
                status = _answer(connection, task)
    except MemoryError:
        status = OUT_OF_MEMORY
    except BaseException:  # noqa: BLE001 - the outermost frame of this process
        status = FAILED
        with contextlib.suppress(BaseException):
            traceback.print_exc(limit=20)
    finally:
        with contextlib.suppress(BaseException):
            sys.stderr.flush()
        os._exit(status)


def rehearse(max_stages: int) -> None:
    """Use everything once: in the parent so that all is imported, in a child so that its pages are its own."""
    checked = dvc_parsing.check(MemoryTree(SAMPLE), max_stages=max_stages)
    codec.from_json(type(checked), codec.to_json(checked))


def _confine(control: socket.socket, limits: Limits) -> None:
    """Keep nothing of the parent's but the standard streams and `control`; set the limits."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    kept = control.fileno()
    os.closerange(3, kept)
    os.closerange(kept + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    # RLIMIT_DATA counts what a process makes, not the packs of a repository that it maps to read; elsewhere than on
    # Linux it counts too little, so that the whole address space is limited there.
    memory = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    for what, soft, hard in (
        (memory, limits.memory, limits.memory),
        (resource.RLIMIT_CPU, limits.cpu, limits.cpu + 2),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (soft, hard))
    gc.set_threshold(100_000, 50, 100)


def _answer(connection: socket.socket, task: Task) -> int:
    try:
        kind, body = frames.receive(connection, time.monotonic() + _REQUEST_SECONDS)
    except (OSError, EOFError):
        return 0
    if kind != b"S":
        return FAILED
    source = codec.from_json(Source, body)
    try:
        tree = RecordingTree(task.open_tree(source))
    except errors.RefmillError as error:
        frames.send(connection, b"E", str(error.message).encode())
        return 0
    try:
        checked = _checked(tree, task, source.words)
    except errors.Unavailable as error:
        sys.stderr.write(f"{error}\n")
        return 0  # whoever asked hears nothing, which means the same
    connection.settimeout(_REQUEST_SECONDS)
    with contextlib.suppress(OSError):
        frames.send(connection, b"Q", json.dumps(tree.noted()).encode())
        frames.send(connection, b"A", codec.to_json(checked).encode("utf-8", "surrogatepass"))
    return 0


def _checked(tree: Tree, task: Task, words: tuple[str, ...]) -> Checked:
    def check(files: Tree) -> Checked:
        found = dvc_parsing.check(files, max_stages=task.max_stages, containers=task.containers, allowed=task.allowed)
        more = () if found.pipeline is None or found.errors else task.further(files, found)
        return replace(found, problems=(*found.problems, *more)) if more else found

    if not words:
        return check(tree)
    os.environ.clear()  # a file may ask for variables: ${oc.env:NAME}
    from refmill.clients import dvc_overrides  # noqa: PLC0415 - Hydra is slow to import, and few requests need it

    return dvc_overrides.checked(tree, words, check)
