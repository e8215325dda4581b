"""What of a run's results goes into git beside dvc.lock: `cache: false` outputs and .gitignore lines of the others.

(DVC writes both into the working copy; `dvc pull` brings neither, so they must be in the commit.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from refmill import errors
from refmill.formats import directories, gitignore
from refmill.formats.hashing import FileHash
from refmill.model.pipelines import LockEntry, Stage
from refmill.model.plans import Plan
from refmill.plans.decide import Memory

LIMIT = 64 << 20  # bytes of one `cache: false` output; git holds each version of it for good


def files(plan: Plan, entries: Mapping[str, LockEntry], memory: Memory) -> dict[str, bytes]:
    """Files by path from the project's root. Stages that stand in the committed lock as they are need nothing.

    Raises LimitExceeded for an output that is too large for git, NotFound if an object is missing.
    """
    found: dict[str, bytes] = {}
    for stage, hashes in _made(plan, entries):
        for out in stage.outs:
            if not out.cache and out.path in hashes:
                found.update(_content(out.root, hashes[out.path], memory))
    return found | ignoring(plan, entries, memory, found)


def ignoring(
    plan: Plan, entries: Mapping[str, LockEntry], memory: Memory, written: Mapping[str, bytes] | None = None
) -> dict[str, bytes]:
    """The .gitignore files that change, by path from the project's root. `written` are files that the stages wrote."""

    def read(path: str) -> bytes | None:
        try:
            return (written or {}).get(path) or memory.tree.read(path)
        except errors.NotFound:
            return None

    outs = [
        (out.root, hashes.get(out.path, "").endswith(".dir"))
        for stage, hashes in _made(plan, entries)
        for out in stage.outs
        if out.cache
    ]
    return gitignore.update(outs, read, memory.around)


def _made(plan: Plan, entries: Mapping[str, LockEntry]) -> Iterator[tuple[Stage, dict[str, str]]]:
    """The stages whose entries are new, with the MD5 of their outputs by path."""
    for item in plan.stages:
        entry = entries.get(item.stage.address)
        if entry is not None and entry != plan.pipeline.lock.get(item.stage.address):
            yield item.stage, {out["path"]: FileHash.of(out).md5 for out in entry.get("outs", ()) if "md5" in out}


def _content(root: str, md5: str, memory: Memory) -> Iterator[tuple[str, bytes]]:
    if not md5.endswith(".dir"):
        yield root, _read(root, md5, memory)
        return
    for entry in directories.parse(memory.objects.read(md5), md5).entries:
        path = f"{root}/{entry.relpath}"
        yield path, _read(path, entry.md5, memory)


def _read(path: str, md5: str, memory: Memory) -> bytes:
    """An output's bytes: from the store, or, if git alone has it, from the commit."""
    try:
        return memory.objects.read(md5, LIMIT)
    except errors.NotFound:
        if memory.tree.md5(path)[0] == md5:
            return memory.tree.read(path, LIMIT)
        raise
