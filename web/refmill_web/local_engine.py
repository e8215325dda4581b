"""The local engine with everything it needs of this platform."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import TypeAlias

from refmill import specs
from refmill.engine import machine
from refmill.engine.cgroups import Groups
from refmill.engine.courses import Defaults
from refmill.engine.environments import Environments
from refmill.engine.local import LocalEngine
from refmill.engine.parts import Parts
from refmill.engine.sandbox import Sandbox
from refmill.engine.stages import Bounds
from refmill.flows.planning import Storage
from refmill.model.pipelines import LockEntry
from refmill.model.runs import Made, Run
from refmill.plans.decide import Memory
from refmill.plans.projects import surroundings
from refmill.ports.engines import Listener
from refmill.ports.records import Secrets
from refmill.ports.repositories import Repositories
from refmill.settings import Settings
from refmill_web import places

LOG = logging.getLogger(__name__)
Results: TypeAlias = Callable[[str, Sequence[LockEntry]], Sequence[Sequence[Made]]]


def remembering(storage: Storage, made: Results, repositories: Repositories) -> Callable[[Run], Memory]:
    """What gives all that is remembered of earlier runs to a run of any engine. `made` gives the results recorded in a
    repository (see RunHistory)."""

    def memory(run: Run) -> Memory:
        whole = tree = repositories.tree(run.repository_id, run.source)
        if run.project:
            tree = repositories.tree(run.repository_id, run.source, project=run.project)
        return Memory(
            storage.objects(run.repository_id), storage.runcache(run.repository_id), tree,
            lambda entry: made(run.repository_id, [entry])[0],
            around=surroundings(whole, run.project),
        )  # fmt: skip

    return memory


def bounds(settings: Settings) -> Bounds:
    """What no stage may pass."""
    return Bounds(
        processes=settings.stage_processes, disk=int(specs.quantity(settings.stage_disk)), files=settings.stage_files,
        keep=int(specs.quantity(settings.disk_reserve)),
    )  # fmt: skip


def _groups(settings: Settings) -> Groups:
    """The control groups for stages, after telling people which."""
    found = places.groups(settings)
    LOG.log(logging.WARNING if found.why else logging.INFO, "%s", found.said())
    places.keep_groups(settings, found)
    return found


def make(
    settings: Settings, *, listener: Listener, memory: Callable[[Run], Memory], repositories: Repositories,
    environments: Environments, sandbox: Sandbox, secrets: Secrets,
) -> LocalEngine:  # fmt: skip
    """The engine. It tells `listener` what happens, and keeps finished logs beside the repository's objects. `memory`
    is what `remembering` gives, `secrets` what stages may name."""
    memory_limit = int(specs.quantity(settings.memory)) if settings.memory else 0
    return LocalEngine(
        Parts(
            work=settings.path("work"),
            listener=listener,
            memory=memory,
            repository=repositories.path,
            environments=environments,
            sandbox=sandbox,
            budget=machine.budget(cpus=settings.cpus, memory=memory_limit, gpus=settings.gpus),
            defaults=Defaults(
                memory=int(specs.quantity(settings.stage_memory)),
                timeout=settings.stage_timeout,
                bounds=bounds(settings),
            ),
            groups=_groups(settings),
            keep=functools.partial(places.keep_log, settings),
            secrets=lambda run, names: secrets.values(run.repository_id, names),
        )
    )
