"""Has a repository's templates filled in by a limited process (`refmill_argo.filling`)."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from refmill import errors
from refmill.texts import text
from refmill_argo import filling

WAIT = 15.0
"""Seconds on the clock: below what the resolver gives one push, and far above what the processor's limit leaves."""
DETAIL = 300
"""Characters of each word of the answer that is shown."""
Limit: TypeAlias = Literal["time", "memory", "size", "crash"]


@dataclass(frozen=True, slots=True)
class Filled:
    """What came of it: the Workflows as plain data; or the limit that was met; or what Jinja (`template`) or YAML did
    not take, with its place as far as it is known. All of it is a stranger's word."""

    documents: tuple[Any, ...] = ()
    limit: Limit | None = None
    fault: Literal["", "template", "yaml"] = ""
    file: str = ""
    line: int = 0
    detail: str = ""
    excerpt: str = ""


def filled(files: Mapping[str, str], contexts: Sequence[Mapping[str, Any]]) -> Filled:
    """The Workflow for each context. Raises Unavailable where the machine is to blame, not the templates: no process
    can be started, it gets no turn, or is killed."""
    try:
        return _filled(files, contexts)
    except OSError as error:
        raise _unavailable(error.strerror or str(error)) from error


def _filled(files: Mapping[str, str], contexts: Sequence[Mapping[str, Any]]) -> Filled:
    request = json.dumps({"files": dict(files), "contexts": list(contexts)}).encode()
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as answer:
        asked.write(request)
        asked.seek(0)
        # -I: nothing that lies around is imported; no variable is handed on, for some of ours hold passwords.
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", filling.__name__], env={}, cwd="/", stdin=asked, stdout=answer,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            code = process.wait(WAIT)
        except subprocess.TimeoutExpired as error:
            raise _unavailable(f"{WAIT} s") from error
        finally:
            process.kill()
            process.wait()
        answer.seek(0)
        return _ended(code) if code else _read(answer.read(filling.ANSWER + 1), len(contexts))


def _ended(code: int) -> Filled:
    if code == -signal.SIGKILL:
        raise _unavailable("SIGKILL")
    if code == -signal.SIGXCPU:
        return Filled(limit="time")
    if code == -signal.SIGXFSZ:
        return Filled(limit="size")
    return Filled(limit="memory" if code == filling.OUT_OF_MEMORY else "crash")


def _read(answer: bytes, count: int) -> Filled:
    try:
        found = json.loads(answer, parse_constant=_no_number)
        if "documents" in found:
            documents = tuple(found["documents"])
            return Filled(documents) if len(documents) == count else Filled(limit="crash")
        if found["fault"] == "too-long":
            return Filled(limit="size")
        line = found.get("line", 0)
        return Filled(
            fault="template" if found["fault"] == "template" else "yaml", file=str(found.get("file", "")),
            line=line if isinstance(line, int) and line > 0 else 0, detail=str(found.get("detail", ""))[:DETAIL],
            excerpt=str(found.get("excerpt", ""))[:DETAIL],
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Filled(limit="crash")


def _unavailable(detail: str) -> errors.Unavailable:
    return errors.Unavailable(
        text("The templates of Workflows could not be filled in: %(detail)s", detail=detail),
        text("The machine is busy, or full; try once more in a few seconds."),
    )


def _no_number(written: str) -> float:
    """What Python writes of numbers that JSON does not have."""
    raise ValueError(written)
