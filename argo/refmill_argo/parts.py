"""What the engine of a cluster works with: given once, when it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from refmill.model.runs import Run
from refmill.plans.decide import Memory
from refmill.ports.engines import Listener
from refmill.ports.records import Runs, RunStates
from refmill.ports.waking import Bell
from refmill_argo.cluster import Archive, Cluster
from refmill_argo.options import Options


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the engine works with.

    `work` holds the runs' folders; `memory` gives what is remembered in a run's repository; `runner` is the step
    runner, whose digest `options` name; `token` gives a run's token. `keep(run, address, attempt, log)` copies the
    finished log of an attempt to where it lasts. At most `most` runs are on the cluster at a time, and `each` of one
    owner (0: any number); an image may take `patience` seconds to come; `relist` seconds lie between two looks at
    everything. `archive` tells what Argo keeps in its database, None where no Argo Server is set.
    """

    work: Path
    listener: Listener
    cluster: Cluster
    options: Options
    runner: bytes
    token: Callable[[str], str]
    runs: Runs
    states: RunStates
    memory: Callable[[Run], Memory]
    keep: Callable[[Run, str, int, Path], None]
    bell: Bell
    most: int = 20
    each: int = 0
    patience: float = 300.0
    relist: float = 300.0
    archive: Archive | None = None
