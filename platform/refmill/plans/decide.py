"""Decides whether a stage runs or its result is taken over: the one place where *cached* is said.

Three questions in DVC's own order (dvc.stage.Stage.reproduce, dvc.stage.cache.StageCache.restore): is the stage what
dvc.lock records, with all its outputs at hand? Has the run-cache an answer for these inputs? Are the inputs there to
run it? The planner asks before a run, the engine asks again for a stage whose inputs were made meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from refmill import errors
from refmill.formats import directories, lockfile, runcache
from refmill.formats.gitignore import Surroundings
from refmill.formats.hashing import FileHash
from refmill.model.pipelines import LockEntry, Stage, by_path
from refmill.model.plans import MissingObject, Reason, StagePlan
from refmill.model.runs import Made
from refmill.plans import environments
from refmill.plans.changes import differences
from refmill.plans.gitfiles import GitFiles
from refmill.plans.inputs import Inputs
from refmill.ports.objects import Objects, RunCache
from refmill.ports.trees import Tree
from refmill.texts import counted, text

UNCHANGED = text("nothing it depends on changed")
"""Why most stages are cached; who shows many of them may count those."""
STANDS = Reason("unchanged", UNCHANGED)
REMEMBERED = Reason("run-cache", text("an earlier run with the same inputs gave this result"))
UNRECORDED = Reason("new", text("dvc.lock has no result of it"))


def _nothing(_entry: LockEntry) -> Sequence[Made]:
    """No run is remembered."""
    return ()


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of earlier runs: objects, run-cache, and the commit's own files for `cache: false` outputs;
    `made` gives the recorded results for the same inputs as an entry's, the newest last.

    With `here` the tree is a working copy, in which all outputs lie. `around` is what lies around a project in a
    sub-directory.
    """

    objects: Objects
    runcache: RunCache
    tree: Tree
    made: Callable[[LockEntry], Sequence[Made]] = _nothing
    here: bool = False
    around: Surroundings = field(default_factory=Surroundings)


def decide(
    stage: Stage, inputs: Inputs, locked: LockEntry | None, memory: Memory, *,
    upstream: tuple[str, ...] = (), force: bool = False, earlier: LockEntry | None = None, environment: str = "",
) -> StagePlan:  # fmt: skip
    """The verdict on one stage, with its reasons and its lock entry as far as it is known.

    `earlier` is the stage's result in an earlier run that no dvc.lock here records: it changes no verdict, but tells
    what changed since, where there is nothing else to compare with. `environment` is today's digest where it counts
    as an input, so that only a result made in it is taken over.
    """
    reasons = [Reason("forced", text("it was asked for"))] if force else differences(stage, inputs, locked)
    if locked is None and earlier is not None and not force:
        reasons = differences(stage, inputs, earlier) or [UNRECORDED]
    known = lockfile.entry(stage, inputs.deps, inputs.params, {})
    if stage.frozen:
        return _frozen(stage, inputs, locked, memory, StagePlan(stage, "cached", tuple(reasons), known, upstream))
    if inputs.absent:
        others = (reason for reason in reasons if reason.subject not in inputs.absent)
        return StagePlan(stage, "blocked", (*map(_absent, inputs.absent), *others), known, upstream)
    if inputs.unknown:
        return StagePlan(stage, "later", (_waits(upstream), *reasons), known, upstream, _missing(inputs, memory))
    if not force:
        cached, reasons = _cached(stage, known, locked, memory, reasons)
        if cached is not None and environment:
            cached, reasons = _in_environment(stage, cached, reasons, memory, environment)
        if cached is not None:
            return StagePlan(stage, "cached", tuple(reasons), cached, upstream)
    if missing := _missing(inputs, memory):
        return StagePlan(stage, "blocked", (_missing_data(missing), *reasons), known, upstream, missing)
    return StagePlan(stage, "run", tuple(reasons), known, upstream)


def _cached(
    stage: Stage, known: LockEntry, locked: LockEntry | None, memory: Memory, reasons: list[Reason]
) -> tuple[LockEntry | None, list[Reason]]:
    """The entry to take over, if there is one, and why; else why not. `reasons` tell how the stage differs."""
    if locked is not None and not reasons:
        lost = _lost_outputs(stage, locked, memory, in_git=True)
        altered = [] if lost else _altered_outputs(stage, locked, memory)
        if not lost and not altered:
            return locked, [STANDS]
        reasons = [_lost(path) for path in lost] + [_altered(path) for path in altered]
    if found := _remembered(stage, known, memory):
        return found, [REMEMBERED, *(item for item in reasons if item.kind != "new")]
    return None, reasons


def _in_environment(
    stage: Stage, cached: LockEntry, reasons: list[Reason], memory: Memory, environment: str
) -> tuple[LockEntry | None, list[Reason]]:
    """`cached` if it is a result of `environment` (or of nobody knows which), else another result that is, or None."""
    made = memory.made(cached)
    changed = environments.changed(cached, made, environment)
    if changed is None:
        return cached, reasons
    for result in reversed(made):
        if result.environment == environment and not _lost_outputs(stage, result.entry, memory, in_git=False):
            return cached | {"outs": result.entry["outs"]}, [REMEMBERED]
    return None, [changed]


def _remembered(stage: Stage, known: LockEntry, memory: Memory) -> LockEntry | None:
    """The run-cache's entry for these inputs, if all its outputs can be had, with today's inputs in it."""
    if not runcache.eligible(stage, known):
        return None
    whole = known | {"outs": [{"path": out.path} for out in sorted(stage.outs, key=lambda out: out.path)]}
    found = memory.runcache.load(runcache.key(whole))
    if found is None or _lost_outputs(stage, found, memory, in_git=False):
        return None
    return known | {"outs": found["outs"]}


def _lost_outputs(stage: Stage, entry: LockEntry, memory: Memory, *, in_git: bool) -> list[str]:
    """Outputs of `entry` that cannot be had. A `cache: false` output may live in git; one that was changed there is put
    back if that can be done."""
    recorded = by_path(entry)
    wanted: dict[str, str] = {}
    lost: list[str] = []
    git = GitFiles(memory.tree)
    for out in stage.outs:
        item = recorded.get(out.path, {})
        md5 = FileHash.of(item).md5 if item.get("md5") else None
        committed = git.hash(out.root) if in_git and not out.cache else None
        changed = md5 is not None and committed is not None and not git.is_called(out.root, committed, md5)
        if md5 is None or (changed and not runcache.restorable(stage, entry)):
            lost.append(out.path)
        elif changed or committed is None:
            wanted[out.path] = md5
    gone = absent_objects(wanted.values(), memory.objects)
    return lost + [path for path, md5 in wanted.items() if md5 in gone]


def _altered_outputs(stage: Stage, entry: LockEntry, memory: Memory) -> list[str]:
    """Outputs in the working copy that are not as recorded, of a stage whose results DVC does not put back.

    It puts back what has all its objects in the cache, that of a `cache: false` output too: it may be that of another.
    `entry` has no lost outputs.
    """
    if not memory.here:
        return []
    restorable = runcache.restorable(stage, entry)
    if restorable and all(out.cache for out in stage.outs):
        return []
    recorded = {out["path"]: FileHash.of(out).md5 for out in entry.get("outs", ())}
    files = GitFiles(memory.tree)
    altered = [
        out.path
        for out in stage.outs
        if (found := files.hash(out.root)) is None or not files.is_called(out.root, found, recorded.get(out.path, ""))
    ]
    if altered and restorable and not absent_objects(recorded.values(), memory.objects):
        return []
    return altered


def _frozen(stage: Stage, inputs: Inputs, locked: LockEntry | None, memory: Memory, plan: StagePlan) -> StagePlan:
    """A frozen stage never runs. Its outputs are taken as they are: those of the working copy, else those recorded.

    As in DVC (dvc.stage.Stage.run) the entry then names today's command and inputs.
    """
    recorded = {out["path"]: FileHash.of(out) for out in (locked or {}).get("outs", ()) if "md5" in out}
    outs: dict[str, FileHash] = {}
    files = GitFiles(memory.tree)
    for out in stage.outs:
        in_tree = files.hash(out.root) if memory.here or not out.cache else None
        found = in_tree or (None if memory.here else recorded.get(out.path))
        if found is None or (in_tree is None and absent_objects([found.md5], memory.objects)):
            message = text("it is frozen, and its output %(path)s is not there", path=out.path)
            return replace(plan, verdict="blocked", reasons=(Reason("output", message, out.root), *plan.reasons))
        before = recorded.get(out.path)
        called = before is not None and in_tree is not None and files.is_called(out.root, in_tree, before.md5)
        outs[out.root] = replace(found, md5=before.md5) if before is not None and called else found
    same = all(recorded[out.path].md5 == outs[out.root].md5 for out in stage.outs if out.path in recorded)
    if locked is not None and not plan.reasons and same:
        return replace(plan, reasons=(STANDS,), entry=locked)
    entry = {**(locked or {}), "cmd": plan.entry["cmd"]} if inputs.unknown or inputs.absent else dict(plan.entry)
    entry |= lockfile.entry(stage, {}, {}, outs) | {"cmd": entry["cmd"]}
    note = Reason("unchanged", text("it is frozen: its outputs are taken as they are"))
    return replace(plan, reasons=(note, *plan.reasons), entry=entry)


def absent_objects(md5s: Iterable[str], objects: Objects) -> set[str]:
    """Those of `md5s` that are not there whole: an object, or a directory's listing with every file in it."""
    asked = set(md5s)
    there = objects.present(asked)
    absent = asked - there
    for name in (md5 for md5 in there if md5.endswith(".dir")):
        try:
            files = {entry.md5 for entry in directories.parse(objects.read(name), name).entries}
        except errors.NotFound:
            files = {name}
        if files - objects.present(files):
            absent.add(name)
    return absent


def _missing(inputs: Inputs, memory: Memory) -> tuple[MissingObject, ...]:
    gone = absent_objects((item.md5 for item in inputs.objects), memory.objects)
    return tuple(item for item in inputs.objects if item.md5 in gone and not _lies_here(item, memory))


def _lies_here(item: MissingObject, memory: Memory) -> bool:
    """Whether the working copy has an input of which the cache has not everything."""
    git = GitFiles(memory.tree)
    found = git.hash(item.path) if memory.here else None
    return found is not None and git.is_called(item.path, found, item.md5)


def _absent(path: str) -> Reason:
    return Reason(
        "dependency",
        text("%(path)s does not exist: it is neither in git, nor tracked, nor made by a stage", path=path),
        path,
    )


def _waits(upstream: tuple[str, ...]) -> Reason:
    upstream = tuple(address for address in upstream if not address.endswith(".dvc"))  # data are there, or missing
    return Reason("upstream", text("its inputs are made by %(stages)s in this run", stages=", ".join(upstream)))


def _lost(path: str) -> Reason:
    return Reason("output", text("the recorded %(path)s is not in the store", path=path), path)


def _altered(path: str) -> Reason:
    return Reason("output", text("%(path)s is not as it was recorded", path=path), path)


def _missing_data(missing: tuple[MissingObject, ...]) -> Reason:
    size = sum(item.size or 0 for item in missing)
    message = counted(
        "missing data: %(count)s object, %(size)s bytes: %(paths)s",
        "missing data: %(count)s objects, %(size)s bytes: %(paths)s", len(missing), size=size,
        paths=", ".join(sorted({item.path for item in missing})[:5]),
    )  # fmt: skip
    return Reason("missing-data", message, missing[0].path)
