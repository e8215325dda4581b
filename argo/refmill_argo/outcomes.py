"""What an attempt in a pod came to: how it ended, in words, and the lock entry that it gives.

The rule to keep: a pod says how its command ended, and nothing else decides; what it says is bounded, and its result is
recorded only if every byte of it is in the store.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from refmill import errors
from refmill.engine import endings
from refmill.engine.stages import Bounds
from refmill.engine.supervision import Exit
from refmill.formats import dvcignore
from refmill.model.pipelines import LockEntry, Stage, by_path
from refmill.model.runs import Usage
from refmill.plans import entries
from refmill.plans.decide import Memory
from refmill.plans.outputs import as_stored
from refmill.texts import Text, text
from refmill_argo import listings

DETAIL = 2000
"""Characters of what a pod says in words."""
RAN = frozenset({"", "exited", "failed"})
"""Reasons of a command that ended by itself."""
OURS = frozenset({"timeout", "memory", "processes", "disk", "files", "deep", "disk-full", "start-failed"})
"""Reasons for which `refmill.engine.endings` has words."""


MOST = 2.0**60
"""Of anything that a pod counts."""
_REASON = re.compile(r"[a-z-]{0,40}", re.ASCII)

REFUSED = frozenset({"output-refused", "output-unreadable", "refused"})
"""Reasons of a command that ended well and left what cannot be taken."""


class Behind(errors.Conflict):
    """What was told cannot be taken yet; `facts` say what it needs first."""

    def __init__(self, message: Text, **facts: Any) -> None:
        super().__init__(message)
        self.facts: Mapping[str, Any] = facts


def exit_of(said: Mapping[str, Any], started: int) -> Exit:
    """How a pod says that its attempt ended, which began at `started`. Raises WrongUse."""
    code: int | None = said.get("code")
    signal = said.get("signal")
    reason, detail = said.get("reason") or "", said.get("detail") or ""
    if not isinstance(reason, str) or not isinstance(detail, str) or not (code is None or _whole(code)):
        raise errors.WrongUse(text("the end of an attempt has a code, a reason and details"))
    if isinstance(code, int) and code < 0:
        signal = -code
        code = None
    usage = said.get("usage")
    used: Mapping[str, Any] = usage if isinstance(usage, dict) else {}
    return Exit(
        reason if _REASON.fullmatch(reason) else "unknown", _plain(detail[:DETAIL]), code,
        signal if _whole(signal) and code is None else None, started, _number(said.get("seconds")),
        Usage(
            _number(used.get("cpu_seconds")), int(_number(used.get("peak_memory"))),
            written_bytes=int(_number(used.get("written_bytes"))), gpu_memory=int(_number(used.get("gpu_memory"))),
        ),
    )  # fmt: skip


def rest_of_log(said: object) -> tuple[int, bytes]:
    """From which byte on, and the bytes of a log's end as a pod says it. Raises WrongUse."""
    offset, data = (said.get("offset"), said.get("data")) if isinstance(said, dict) else (None, None)
    if isinstance(offset, int) and not isinstance(offset, bool) and isinstance(data, str):
        with contextlib.suppress(ValueError):
            return offset, base64.b64decode(data, validate=True)
    raise errors.WrongUse(text("the end of a log has an offset, and data in base64"))


def explained(end: Exit, stage: Mapping[str, Any], stage_memory: int, bounds: Bounds) -> Text | None:
    """The reason of a bad end, None for a good one; `stage` is what plan.json says of it."""
    if end.reason in RAN or end.reason in OURS or end.reason in ("stopped", "lost"):
        exited = replace(end, reason="exited") if end.reason in RAN else end
        memory, timeout = stage.get("memory") or stage_memory, stage["timeout"]
        why = endings.explain(exited, memory=memory, timeout=timeout, bounds=bounds)
        if why is not None or (end.reason in RAN and end.code == 0):
            return why
        return text("ended without saying how")
    if end.reason == "output-missing":
        return text("output %(path)s was not made", path=end.detail)
    if end.reason in REFUSED and end.detail:
        return text("its outputs cannot be taken: %(detail)s", detail=end.detail)
    if end.reason == "environment" and end.detail:
        return text("the environment could not be made: %(detail)s", detail=end.detail)
    return text("could not be run in its pod (%(reason)s): %(detail)s", reason=end.reason, detail=end.detail)


def recorded(
    stage: Stage, known: LockEntry, said: object, memory: Memory, most: int, locked: LockEntry | None = None,
    along: object = None,
) -> tuple[LockEntry, int]:  # fmt: skip
    """The lock entry of a command that ended well, and the bytes of its outputs, of at most `most` files; `locked` is
    the one that the commit has, `along` are objects that came along with what is said. Raises Unfit, Behind where
    objects of them are still `wanted`, WrongUse, LimitExceeded."""
    if not isinstance(said, dict):
        said = {}
    found = outputs(stage, said, memory, most)
    if wanted := listings.lacking(found.wanted(memory.objects), along, memory.objects):
        raise Behind(text("objects of the outputs are not in the store"), wanted=wanted)
    sizes = listings.sizes(said.get("measured") or {}, stage)
    stored = found.stored(memory.objects)
    before = by_path(locked)
    hashes = {
        out.root: as_stored(stored.hashes[out.root], before.get(out.path), memory.objects)
        for out in stage.outs
        if out.root in stored.hashes
    }
    entry = entries.finished(stage, entries.measured(stage, known, sizes.get), hashes, memory.runcache)
    return entry, found.bytes


def outputs(stage: Stage, said: Mapping[str, Any], memory: Memory, most: int) -> listings.Outputs:
    """What a stage made, out of what its pod says. Raises Unfit, WrongUse, LimitExceeded."""
    told = listings.told(said.get("outs") or {}, most)
    try:
        return listings.outputs(stage, told, dvcignore.DvcIgnore(dvcignore.reader(memory.tree.read)))
    except errors.Invalid as error:
        raise listings.Unfit(text(".dvcignore cannot be read: %(detail)s", detail=str(error))) from error


def _plain(words: str) -> str:
    """What a pod says, without anything that is no character."""
    return "".join(char if char.isprintable() or char in "\t\n" else "�" for char in words)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 31


def _number(value: object) -> float:
    """A number within bounds; what is none counts as nothing."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= MOST:
        return 0.0
    return float(value)
