"""What of a run's results goes into git beside dvc.lock: `cache: false` outputs and .gitignore lines of the others.

(DVC writes both into the working copy; `dvc pull` brings neither, so they must be in the commit.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from refmill import errors
from refmill.formats import directories, gitignore
from refmill.model.pipelines import LockEntry
from refmill.model.plans import Plan
from refmill.plans.decide import Memory

LIMIT = 64 << 20  # bytes of one `cache: false` output; git holds each version of it for good


def files(plan: Plan, entries: Mapping[str, LockEntry], memory: Memory) -> dict[str, bytes]:
    """Files by path from the project's root. Stages that stand in the committed lock as they are need nothing.

    Raises LimitExceeded for an output that is too large for git, NotFound if an object is missing.
    """
    found: dict[str, bytes] = {}
    ignored: list[tuple[str, bool]] = []
    for item in plan.stages:
        entry = entries.get(item.stage.address)
        if entry is None or entry == plan.pipeline.lock.get(item.stage.address):
            continue
        hashes: dict[str, str] = {out["path"]: out["md5"] for out in entry.get("outs", ()) if "md5" in out}
        for out in item.stage.outs:
            md5 = hashes.get(out.path, "")
            if out.cache:
                ignored.append((out.root, md5.endswith(".dir")))
            elif md5:
                found.update(_content(out.root, md5, memory))

    def read(path: str) -> bytes | None:
        try:
            return found.get(path) or memory.tree.read(path)
        except errors.NotFound:
            return None

    return found | gitignore.update(ignored, read)


def _content(root: str, md5: str, memory: Memory) -> Iterator[tuple[str, bytes]]:
    if not md5.endswith(".dir"):
        yield root, _read(root, md5, memory)
        return
    for entry in directories.parse(memory.objects.read(md5)).entries:
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
