"""Every figure that there is: its name, its kind, its labels, what it says. docs/metrics.md is written from this list.

Help is English, as all names are: programs read it, and show it beside other people's.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar, get_args

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import CollectorRegistry

from refmill.model.runs import RUN_ENDED, RUN_STATUSES, STAGE_ENDED

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
Home: TypeAlias = Literal["look", "each", "web", "engine"]
"""Who has it: whoever looks at the platform when it is asked for, or a process that counts it while it lives; `each`
is counted by web and engine, each for itself, and the label `part` says whose it is."""
Role: TypeAlias = Literal["web", "engine"]
"""What a process does that counts."""
Made = TypeVar("Made", Counter, Gauge, Histogram)
PREFIX = "refmill_"
ENGINES = ("local", "argo")
PARTS = ("parent", "web", "engine", "resolver")
MOMENTS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0)
"""Seconds: from a page out of the cache to a push of gigabytes."""
LENGTHS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 86400.0)
"""Seconds of runs: from a look into the cache to a day."""
REQUESTS = ("push", "fetch", "refs", "data", "live", "pods", "api", "static", "health", "pages")
"""Kinds of requests over HTTP; `refs` is what git asks first of each push and fetch."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure without the prefix and, of a counter, without the ending `_total`. `labels` have the values that can
    be known beforehand, () where they cannot; figures with known ones are there from the start, at zero."""

    name: str
    kind: Kind
    help: str
    home: Home = "look"
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def shown(self) -> str:
        """Its name in an expression."""
        return f"{PREFIX}{self.name}{'_total' if self.kind == 'counter' else ''}"

    @property
    def samples(self) -> tuple[str, ...]:
        """The names of what is told of it."""
        endings = ("_bucket", "_sum", "_count") if self.kind == "histogram" else ("",)
        return tuple(self.shown + ending for ending in endings)

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of its labels."""
        return tuple(name for name, _ in self.labels)


_PART, _ENGINE, _KIND = ("part", PARTS), ("engine", ENGINES), ("kind", REQUESTS)
_WHOSE = ("part", get_args(Role))  # the first label of what each counts
BUILD = Figure("build_info", "gauge", "Always 1, with the version of the platform.", labels=(("version", ()),))
PART_UP = Figure(
    "part_up", "gauge", "Whether a part answers in time (1) or not (0).",
    labels=(("part", ("database", "engine", "resolver")),),
)  # fmt: skip
LOOK_SECONDS = Figure("look_seconds", "gauge", "How long it took to gather these figures.")
RUNS = Figure(
    "runs", "gauge", "Runs that have not ended.",
    labels=(("status", tuple(status for status in RUN_STATUSES if status not in RUN_ENDED)), _ENGINE),
)  # fmt: skip
RUNS_LACKING = Figure("runs_waiting_for_data", "gauge", "Runs that wait for data which somebody has to bring.")
QUEUE_AGE = Figure(
    "queue_oldest_seconds", "gauge", "Age of the oldest queued run that does not wait for data; 0 for none."
)
STAGES = Figure(
    "stages", "gauge", "Stages, not ended, of runs that have begun.",
    labels=(("status", ("pending", "blocked", "queued", "running")),),
)  # fmt: skip
EVENTS = Figure(
    "events_open", "gauge",
    "Moved refs that have not been planned yet: announced by git, or landed for certain.",
    labels=(("state", ("announced", "landed")),),
)  # fmt: skip
EVENTS_AGE = Figure(
    "events_oldest_seconds", "gauge", "Age of the oldest push that has landed and is not planned; 0 for none."
)
REPOSITORIES = Figure("repositories", "gauge", "Repositories that are hosted.")
USERS = Figure("users", "gauge", "Accounts.")
ASIDE = Figure(
    "repositories_set_aside", "gauge", "Repositories with something that failed and is tried again, later and later."
)
DISK_SIZE = Figure("disk_size_bytes", "gauge", "Size of the disk with the data directory.")
DISK_FREE = Figure("disk_free_bytes", "gauge", "What the platform may still write to that disk.")
DISK_FILES = Figure("disk_free_files", "gauge", "Files that may still be made on that disk.")
DISK_RESERVE = Figure("disk_reserve_bytes", "gauge", "The setting disk_reserve: with less left, stages are ended.")
UPKEEP = Figure("upkeep_timestamp_seconds", "gauge", "When repositories were last packed and tidied up.")
CPU = Figure(
    "process_cpu_seconds", "counter", "Processor time of a process and of the children that it waited for.",
    labels=(_PART,),
)  # fmt: skip
MEMORY = Figure("process_resident_memory_bytes", "gauge", "Memory that a process holds.", labels=(_PART,))
FILES = Figure("process_open_files", "gauge", "Files and sockets that a process has open.", labels=(_PART,))
MOST_FILES = Figure("process_max_files", "gauge", "How many of them it may have.", labels=(_PART,))
THREADS = Figure("process_threads", "gauge", "Threads of a process.", labels=(_PART,))
STARTED = Figure("process_start_time_seconds", "gauge", "When a process was started.", labels=(_PART,))

DATABASE_ERRORS = Figure(
    "database_errors", "counter", "Transactions that the database did not answer, or broke off.", "each",
    (_WHOSE,),
)  # fmt: skip
STORE_ERRORS = Figure(
    "object_store_errors", "counter", "Requests that the S3 store refused, or did not answer after several tries.",
    "each", (_WHOSE,),
)  # fmt: skip
RUNS_ENDED = Figure(
    "runs_ended", "counter", "Runs that ended.", "each",
    (_WHOSE, ("status", tuple(status for status in RUN_STATUSES if status in RUN_ENDED)), _ENGINE),
)  # fmt: skip
RUN_WAIT = Figure(
    "run_wait_seconds", "histogram", "From the making of a run to the start of its first stage.", "each",
    (_WHOSE, _ENGINE), LENGTHS,
)  # fmt: skip
RUN_LENGTH = Figure("run_seconds", "histogram", "From there to the end of the run.", "each", (_WHOSE, _ENGINE), LENGTHS)
STAGES_ENDED = Figure(
    "stages_ended", "counter", "Attempts of stages that ended after their run had begun.", "each",
    (_WHOSE, ("status", tuple(sorted(STAGE_ENDED)))),
)  # fmt: skip
FAULTS = Figure(
    "faults", "counter",
    "Failures for which the machine or the platform is to blame: of attempts of stages, of runs, of planning a push.",
    "each", (_WHOSE, ("what", ("stage", "run", "push"))),
)  # fmt: skip
HTTP_REQUESTS = Figure(
    "http_requests", "counter",
    "Requests that ended; code 0 is for those that broke off, and for what followed a run live.", "web",
    (("kind", ()), ("method", ()), ("code", ())),
)  # fmt: skip
HTTP_SECONDS = Figure(
    "http_request_seconds", "histogram",
    "From the head of a request to the last byte of its answer; what follows a run live is not among them.",
    "web", (_KIND,), MOMENTS,
)  # fmt: skip
HTTP_OPEN = Figure(
    "http_requests_in_progress", "gauge", "Requests that have a thread now; the setting threads bounds them.",
    "web", (_KIND,),
)  # fmt: skip
PUSHES = Figure(
    "pushes", "counter", "Pushes that were taken, refused with a reason, or moved no ref after all.", "web",
    (("outcome", ("taken", "refused", "failed")),),
)  # fmt: skip
PUSH_CHECK = Figure(
    "push_check_seconds", "histogram", "How long the files of a push were checked before it was taken or refused.",
    "web", (), MOMENTS,
)  # fmt: skip
TURNS = Figure(
    "engine_turns", "counter",
    "Turns of the engine's loop, which plans pushes and carries out wishes: whole ones, and broken ones that failed.",
    "engine", (("outcome", ("whole", "broken")),),
)  # fmt: skip
TURN_TIME = Figure("engine_turn_timestamp_seconds", "gauge", "When the last of these turns ended.", "engine")
MACHINE_CPUS = Figure("machine_cpus", "gauge", "Cores that stages of the local engine may use together.", "engine")
MACHINE_CPUS_TAKEN = Figure("machine_cpus_taken", "gauge", "Cores that running stages have of them.", "engine")
MACHINE_MEMORY = Figure("machine_memory_bytes", "gauge", "Memory that those stages may use together.", "engine")
MACHINE_MEMORY_TAKEN = Figure("machine_memory_taken_bytes", "gauge", "What running stages have of it.", "engine")
MACHINE_GPUS = Figure("machine_gpus", "gauge", "GPU slots for those stages.", "engine")
MACHINE_GPUS_TAKEN = Figure("machine_gpus_taken", "gauge", "Slots that running stages have.", "engine")
MACHINE_RUNNING = Figure("machine_stages_running", "gauge", "Stages that have room on this machine.", "engine")
MACHINE_WAITING = Figure("machine_stages_waiting", "gauge", "Stages that wait for room on it.", "engine")

ALL: tuple[Figure, ...] = tuple(value for value in dict(globals()).values() if isinstance(value, Figure))


def counter(figure: Figure, registry: CollectorRegistry, role: Role) -> Counter:
    """A counter of a process."""
    return _begun(figure, role, Counter(PREFIX + figure.name, figure.help, figure.label_names, registry=registry))


def histogram(figure: Figure, registry: CollectorRegistry, role: Role) -> Histogram:
    """A histogram of a process."""
    made = Histogram(PREFIX + figure.name, figure.help, figure.label_names, registry=registry, buckets=figure.buckets)
    return _begun(figure, role, made)


def gauge(figure: Figure, registry: CollectorRegistry, role: Role) -> Gauge:
    """A gauge of a process."""
    return _begun(figure, role, Gauge(PREFIX + figure.name, figure.help, figure.label_names, registry=registry))


def _begun(figure: Figure, role: Role, made: Made) -> Made:
    """With the combinations of labels' values that are known beforehand; where some are not, there are none. Of what
    each counts, only its own."""
    if figure.labels:
        for values in itertools.product(*(values for _, values in figure.labels)):
            if figure.home != "each" or values[0] == role:
                made.labels(*values)
    return made
