"""Runs a stage's commands under the supervisor, in this process: in a pod nobody has to outlive anybody.

The supervisor brings sessions, the end of whole trees, time limits and the log with its bounds and masks. What it uses
elsewhere and a pod lacks (control groups of its own, a sandbox, watching what is written) is the pod's business here:
Kubernetes keeps the limits, and says what it killed.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence

from refmill.step.masks import MASK, Masks
from refmill.step.pods.faults import Stopped
from refmill.step.pods.halting import Halt
from refmill.step.space import BLOCK
from refmill.step.supervisor import Supervisor

GRACE = 10.0  # seconds between SIGTERM and SIGKILL; Kubernetes kills after 30
PATH = "/usr/local/bin:/usr/bin:/bin"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
OURS = re.compile("REFMILL_(?!RUN$)|ARGO_")
"""Variables of the pod that are none of a command's business, the token above all."""
QUOTAS = ("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us")
KILLS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")


def environ(home: str, root: str, address: str, said: Mapping[str, str], venv: str = "") -> Dict[str, str]:
    """A command's variables: those of the image, what any stage gets, what refmill.yaml says, and what cannot be had
    otherwise."""
    image = {name: value for name, value in os.environ.items() if not OURS.match(name)}
    image.pop("VIRTUAL_ENV", None)
    path = image.get("PATH") or PATH
    return {
        **image,
        **common(home),
        "PATH": os.path.join(venv, "bin") + ":" + path if venv else path,
        **({"VIRTUAL_ENV": venv} if venv else {}),
        **dict.fromkeys(THREADS, str(cores())),
        **said,
        **of_stage(root, address),
    }


def common(home: str) -> Dict[str, str]:
    """What the commands of any stage get, whatever the image."""
    return {
        "HOME": home,
        "TMPDIR": os.environ.get("TMPDIR") or "/tmp",  # noqa: S108 - a volume of the pod
        "LANG": "C.UTF-8",
        "SHELL": "/bin/sh",
        "PYTHONUNBUFFERED": "1",  # so that a log can be followed
        "REFMILL": "1",
        "DVC_NO_ANALYTICS": "1",
    }


def of_stage(root: str, address: str) -> Dict[str, str]:
    """What nothing overrules."""
    return {"DVC_ROOT": root, "DVC_STAGE": address}


def cores() -> int:
    """How many cores the pod may use: what its control group says, else what the machine has."""
    words: List[str] = []
    for path in QUOTAS:
        with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
            words += file.read().split()
    try:
        quota, period = (int(word) for word in words[:2])
    except ValueError:
        quota = period = -1
    return max(1, quota // period) if quota > 0 else len(os.sched_getaffinity(0))


class Hiding(Masks):
    """Masks of secrets, and of the token as it stands: no command has it to print it in other forms, and to look for
    all of them in each line would cost every stage more than its log."""

    def __init__(self, values: Iterable[str], token: str) -> None:
        super().__init__(values)
        self._token = token.encode()
        self._forms = [*self._forms, self._token]
        self.longest = max(self.longest, len(self._token))

    def apply(self, data: bytes) -> bytes:
        return super().apply(data).replace(self._token, MASK)


class Order(NamedTuple):
    """What is to be run, and where. `secrets` are variables that are masked in the log; `hidden` is masked there
    too, and given to nobody; so is each of `masked`, which may be part of a variable."""

    commands: List[str]
    cwd: str
    env: Dict[str, str]
    secrets: Dict[str, str]
    hidden: str
    timeout: Optional[float]
    log_limit: int
    masked: Sequence[str] = ()


def run(order: Order, directory: str, halt: Halt) -> Dict[str, Any]:
    """Carry it out, with the log and what belongs to it in `directory`; gives what the supervisor says of the end.
    Raises Stopped before anything began."""
    spec = {
        "commands": [{"argv": ["/bin/sh", "-c", line], "shown": line} for line in order.commands],
        "cwd": order.cwd, "env": order.env, "timeout": order.timeout or 0, "grace": GRACE, "log_limit": order.log_limit,
    }  # fmt: skip
    halt.directory = directory  # from here on a signal leaves its mark there, where the supervisor looks
    if halt.asked:
        raise Stopped
    kills, before = _kills(), resource.getrusage(resource.RUSAGE_CHILDREN)
    supervisor = Supervisor(spec, directory, order.secrets)
    supervisor.log.masks = Hiding([*order.secrets.values(), *order.masked], order.hidden)
    try:
        ended = supervisor.run()
    finally:
        _let_go(supervisor)
        halt.listen()
        halt.directory = ""
    if ended["reason"] == "stopped" or supervisor.asked:
        halt.ask()
    _subtract(ended["usage"], before, supervisor.peak)
    killed = _kills() - kills
    if killed > 0 and ended["reason"] == "exited" and ended["code"] != 0:
        ended.update(reason="memory", detail="the kernel ended %d of its processes" % killed)
    return ended


def _subtract(usage: Dict[str, Any], before: resource.struct_rusage, seen: int) -> None:
    """Leave out what earlier children of this process used; `seen` is the most memory that was seen of this one."""
    usage["cpu_seconds"] = max(0.0, usage["cpu_seconds"] - before.ru_utime - before.ru_stime)
    usage["written_bytes"] = max(0, usage["written_bytes"] - before.ru_oublock * BLOCK)
    if before.ru_maxrss >= resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss:
        usage["peak_memory"] = seen


def _let_go(supervisor: Supervisor) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    bell = signal.set_wakeup_fd(-1)
    supervisor.selector.close()
    for descriptor in (bell, supervisor.waking):
        if descriptor >= 0:
            os.close(descriptor)


def _kills() -> int:
    """How many processes of this pod the kernel has ended for want of memory."""
    for path in KILLS:
        with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii") as file:
            for line in file:
                word, _, number = line.partition(" ")
                if word == "oom_kill":
                    return int(number)
    return 0
