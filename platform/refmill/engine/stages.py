"""One attempt of one stage: make its workspace, say what is to be started, and take in what came of it.

The rule to keep: collecting can be done again from the start at any time until `result.json` stands, so it takes
nothing away from the workspace.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from refmill import errors
from refmill.engine import attempts, checkouts, supervision, workspaces
from refmill.engine.cgroups import Groups
from refmill.engine.environments import Environment
from refmill.engine.sandbox import Box, Sandbox
from refmill.engine.supervision import Exit
from refmill.formats import dvcignore
from refmill.model.pipelines import LockEntry, Stage, by_path
from refmill.plans import entries, knowledge
from refmill.plans.inputs import Inputs
from refmill.plans.outputs import restore_output, store_output
from refmill.ports.engines import StageSettings
from refmill.ports.objects import Objects, RunCache
from refmill.texts import text

NICE = 10  # stages yield to the platform, which must answer
PATH = "/usr/local/bin:/usr/bin:/bin"
RESULT = "result.json"
UNBOXED = "there is no sandbox here: the commands run as the platform's own user, with its files and its network"
USER = "refmill"
"""What commands are told of who they are: the number of a pod's user has a name in few images, and Python's
`getpass.getuser`, which MLflow and others ask, fails where neither these variables nor the system say one."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What no stage may pass: processes with their threads, bytes and files in its folders; and bytes that stay free on
    the disk, for the platform. 0 is no limit."""

    processes: int = 0
    disk: int = 0
    files: int = 0
    keep: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What an attempt needs. `known` is the lock entry without outputs; `materials` are outs of lock entries by path
    from the root; `project` is the DVC project's folder in the checkout; `memory` (bytes) and `timeout` are in force;
    `alternates` are the hosted repository's objects, which `.git` of the checkout refers to."""

    run_id: str
    stage: Stage
    settings: StageSettings
    directory: Path
    template: Callable[[], checkouts.Template]
    objects: Objects
    runcache: RunCache
    inputs: Inputs
    known: LockEntry
    materials: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    locked: LockEntry | None = None
    project: str = ""
    memory: int = 0
    timeout: float | None = None
    alternates: Path | None = None
    network: bool = True
    bounds: Bounds = field(default_factory=Bounds)

    @property
    def root(self) -> Path:
        """The DVC project's root in the workspace."""
        return self.directory / "tree" / self.project


@dataclass(frozen=True, slots=True)
class Result:
    """What a stage made: its whole lock entry, and the bytes of its outputs; and how its command ended."""

    entry: LockEntry
    output_bytes: int
    end: Exit


def prepare(job: Job, sandbox: Sandbox) -> Job:
    """Make the workspace: the commit's files, the inputs, no outputs but those that persist. Gives the job with what
    is known now. Raises RefmillError."""
    if job.directory.exists():
        checkouts.remove(job.directory)  # a crash left it before anything was started in it
    job.directory.mkdir(parents=True)
    for name in ("home", "tmp"):
        (job.directory / name).mkdir()
    job.template().copy(job.directory / "tree")
    wanted = _wanted(job)
    job.objects.fetch(item["md5"] for item in wanted.values())
    for path, item in wanted.items():
        target = workspaces.clear(job.root, path)
        restore_output(item, target, job.objects, link=sandbox.works, inside=job.root)
    for out in job.stage.outs:
        target = workspaces.clear(job.root, out.root)
        previous = knowledge.previous(job.locked, out, job.objects) if out.persist else None
        if previous is not None:
            restore_output(previous, target, job.objects, inside=job.root)
    workspaces.make_folder(job.root, job.stage.wdir)
    return replace(job, known=entries.measured(job.stage, job.known, lambda root: workspaces.measure(job.root / root)))


def spec(
    job: Job, sandbox: Sandbox, environment: Environment, gpus: tuple[int, ...], notify: Path, groups: Groups,
) -> dict[str, Any]:  # fmt: skip
    """What the supervisor is told."""
    stage = job.stage
    cwd = workspaces.make_folder(job.root, stage.wdir)
    marker = f"{job.run_id}/{job.directory.name}"
    readable = [environment.path, *([job.alternates] if job.alternates else [])]
    linked = [job.root / path for path in _wanted(job)]
    folders = (job.directory / "tree", job.directory / "home", job.directory / "tmp")
    box = Box(
        folders, tuple(readable), cwd, read_only=tuple(linked), gpus=bool(gpus), tmp=job.directory / "tmp",
        network=job.network, memory=job.memory,
    )  # fmt: skip
    return {
        "commands": [{"argv": sandbox.wrap(["/bin/sh", "-c", line], box), "shown": line} for line in stage.commands],
        "cwd": os.fspath(cwd),
        "env": {**_environ(job, environment, gpus), supervision.MARKER: marker},
        "marker": f"{supervision.MARKER}={marker}",
        "nice": NICE,
        "timeout": job.timeout or 0,
        "memory": job.memory,
        "processes": job.bounds.processes,
        "group": groups.spec(f"{job.run_id}.{job.directory.name}"),
        "space": _space(job, folders, linked),
        "remarks": [] if sandbox.works else [UNBOXED],
        "notify": os.fspath(notify),
        "gpus": list(gpus),
        "known": attempts.entry_text(job.known),  # for whoever adopts the attempt
    }


def _space(job: Job, folders: Sequence[Path], given: Sequence[Path]) -> dict[str, Any]:
    """What the stage's folders may take up, for its supervisor."""
    bounds = job.bounds
    return {
        "folders": [os.fspath(folder) for folder in folders], "given": [os.fspath(path) for path in given],
        "bytes": bounds.disk, "files": bounds.files, "keep": bounds.keep,
    }  # fmt: skip


def known(spec: Mapping[str, Any]) -> LockEntry | None:
    """The lock entry without outputs of an attempt that was started with `spec`; None if that is damaged."""
    return attempts.read_entry(spec.get("known"))


def collect(job: Job, end: Exit) -> Result:
    """Store the outputs of a command that ended well, which is `end`, and give the lock entry.

    Raises WrongUse if an output was not made or cannot be taken, Unavailable if it cannot be stored.
    """
    outs = {}
    total = 0
    ignores = _ignores(job)
    recorded = by_path(job.locked)
    for out in job.stage.outs:
        place = job.root / out.root
        if not os.path.lexists(place):
            raise errors.WrongUse(text("output %(path)s was not made", path=out.root))
        try:
            total += workspaces.measure(place)
            outs[out.root] = store_output(
                place, job.objects, move=out.cache, inside=job.directory / "tree",
                root=out.root, ignores=ignores, recorded=recorded.get(out.path),
            )  # fmt: skip
        except errors.Damaged as error:
            raise errors.WrongUse(text("output %(path)s: %(reason)s", path=out.root, reason=error.message)) from error
        except OSError as error:
            if (fault := errors.of_disk(error)) is not None:
                told = text("output %(path)s: %(reason)s", path=out.root, reason=fault.message)
                raise errors.Unavailable(told, fault.remedy) from error
            reason = f"{error.strerror} ({error.filename})" if error.filename else str(error)
            raise errors.Unavailable(text("output %(path)s: %(reason)s", path=out.root, reason=reason)) from error
    entry = entries.finished(job.stage, job.known, outs, job.runcache)
    # With the end: exit.json is not forced to disk, and after a power cut this file must stand alone.
    found = {"output_bytes": total, "entry": attempts.entry_text(entry), "exit": asdict(end)}
    attempts.write(job.directory / RESULT, json.dumps(found))
    return Result(entry, total, end)


def _ignores(job: Job) -> dvcignore.DvcIgnore:
    """The .dvcignore files of the commit, whatever the stage made of those in its workspace."""
    pristine = job.template().path / job.project
    return dvcignore.DvcIgnore(lambda path: workspaces.read_inside(pristine, path, dvcignore.MAX_BYTES))


def collected(directory: Path) -> Result | None:
    """What was collected from an attempt before, or None."""
    found = attempts.read_json(directory / RESULT) or {}
    entry = attempts.read_entry(found.get("entry"))
    try:
        return None if entry is None else Result(entry, found["output_bytes"], supervision.exit_from(found["exit"]))
    except (KeyError, TypeError, ValueError):
        return None


def workspace(directory: Path) -> list[Path]:
    """What goes of an attempt that is over; its log and its papers stay until the run's folder goes."""
    return [directory / name for name in ("tree", "home", "tmp")]


def _wanted(job: Job) -> dict[str, Mapping[str, Any]]:
    return knowledge.wanted(job.inputs, job.materials)


def variables(run_id: str, address: str, settings: StageSettings) -> dict[str, str]:
    """The command's variables that are the same wherever it runs; the settings of refmill.yaml win over ours."""
    return {
        "LANG": "C.UTF-8",
        "SHELL": "/bin/sh",
        "LOGNAME": USER,
        "USER": USER,
        "PYTHONUNBUFFERED": "1",  # so that a log can be followed
        **dict.fromkeys(THREADS, str(max(1, int(settings.cpu)))),
        "REFMILL": "1",
        "REFMILL_RUN": run_id,
        "DVC_NO_ANALYTICS": "1",
        **settings.env,
        "DVC_STAGE": address,
    }


def _environ(job: Job, environment: Environment, gpus: tuple[int, ...]) -> dict[str, str]:
    return {
        "PATH": f"{environment.programs}:{PATH}",
        "VIRTUAL_ENV": os.fspath(environment.path),
        "HOME": os.fspath(job.directory / "home"),
        "TMPDIR": os.fspath(job.directory / "tmp"),
        "CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus)),
        **variables(job.run_id, job.stage.address, job.settings),
        "DVC_ROOT": os.fspath(job.root),
    }
