"""What the local engine works with: given once, when it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from refmill.engine.cgroups import Groups
from refmill.engine.courses import Defaults
from refmill.engine.environments import Environments
from refmill.engine.sandbox import Sandbox
from refmill.engine.scheduler import Budget
from refmill.model.runs import Run
from refmill.plans.decide import Memory
from refmill.ports.engines import Listener


def _no_secrets(_run: Run, _names: Iterable[str]) -> Mapping[str, str]:
    """There are none."""
    return {}


def _forget(_run: Run, _address: str, _attempt: int, _log: Path) -> None:
    """Keep no log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the engine works with.

    `work` is its folder; `memory` gives what is remembered in a run's repository, `repository` its bare folder by id;
    `keep(run, address, attempt, log)` copies the finished log of an attempt to where it lasts. `secrets(run, names)`
    gives the values of a repository's secrets by name; those that are not set are left out. Stages have a control group
    each where there are `groups`.
    """

    work: Path
    listener: Listener
    memory: Callable[[Run], Memory]
    repository: Callable[[str], Path]
    environments: Environments
    sandbox: Sandbox
    budget: Budget
    defaults: Defaults = field(default_factory=Defaults)
    groups: Groups = field(default_factory=Groups)
    keep: Callable[[Run, str, int, Path], None] = _forget
    secrets: Callable[[Run, Iterable[str]], Mapping[str, str]] = _no_secrets
