"""What pods ask and tell, answered: their share of plan.json, the beginning and the end of attempts, logs, figures,
outputs.

Several pods of a run ask at the same time, and several processes answer. The rule to keep: a request that comes again,
after a SIGKILL between any two lines of the first, gets the answer of the first and changes nothing more. So the paper
of an attempt (`refmill_argo.notes`) is written first, states change only from what they are expected to be, and one
lock for each stage parts its requests. A pod is believed in nothing that is not its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from refmill import errors
from refmill.engine import attempts, endings
from refmill.engine.holding import held
from refmill.engine.progress import BADLY, WELL
from refmill.engine.stages import Bounds, variables
from refmill.engine.supervision import Exit
from refmill.flows.control import ENDS
from refmill.formats import directories
from refmill.formats.hashing import FileHash
from refmill.model.pipelines import LockEntry, Stage, by_path
from refmill.model.runs import RUN_ENDED, Run, StageRun, StageStatus, Usage
from refmill.model.stages import StageSettings
from refmill.plans import knowledge
from refmill.plans.decide import Memory
from refmill.plans.inputs import Inputs
from refmill.ports.records import RunHistory, Runs, RunStates
from refmill.ports.waking import Bell
from refmill.texts import Text, text
from refmill_argo import archives, contract, figures, listings, outcomes, tokens
from refmill_argo.notes import TELLING, Begun, Over, Place, earlier, place
from refmill_argo.ongoing import Ongoing, Runners
from refmill_argo.proxies import Proxy

LOG = logging.getLogger(__name__)
TRIES = 5
"""How often a request is looked at anew because its stage changed meanwhile."""
LOG_LIMIT = 64 << 20
"""Bytes of an attempt's log, as by the local engine."""
LOG_MOST = LOG_LIMIT + (1 << 20)
"""The same with the end that is kept of a longer one."""
TAKEN = text("its pod was taken away before it was through: evicted or deleted, or its node shuts down")
UNBEGUN: tuple[StageStatus, ...] = ("pending", "queued", "running")


class Gone(errors.RefmillError):
    """The run has ended: nothing more is asked or told."""

    kind, status = "gone", 410


class Paused(errors.Unavailable):
    """The run, or a stage of it, waits for somebody; asked again later, it may go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the desk works with: as those of the local engine (`refmill.engine.parts`). `addresses(run)` are the run's
    data remote, as pods reach it, and the address of this run's pods; `index` is where pods take packages from, `proxy`
    what they go through to get there."""

    work: Path
    key: bytes
    runs: Runs
    states: RunStates
    history: RunHistory
    memory: Callable[[Run], Memory]
    repository: Callable[[str], Path]
    secrets: Callable[[Run, Iterable[str]], Mapping[str, str]]
    keep: Callable[[Run, str, int, Path], None]
    addresses: Callable[[Run], tuple[str, str]]
    bell: Bell
    index: str = ""
    proxy: Proxy = field(default_factory=Proxy)
    stage_memory: int = 2 << 30
    bounds: Bounds = field(default_factory=Bounds)
    files: int = directories.MAX_FILES
    log_most: int = LOG_MOST
    clock: Callable[[], int] = lambda: time.time_ns() // 1000


class Desk:
    """Answers pods. Every method may be asked again, and raises NotFound for a pod or stage that is not there."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._runners = Runners(parts.work, parts.runs, parts.memory)

    def admit(self, run_id: str, token: str) -> Run:
        """The run, if `token` is its. Raises Unauthorized, Forbidden for another run's, Gone if it has ended."""
        mine = tokens.run_of(self._parts.key, token)
        if mine is None:
            raise errors.Unauthorized(text("this is no token of a run"))
        if mine != run_id:
            raise errors.Forbidden(text("this is the token of another run"))
        return living(self._parts.runs, run_id)

    def share(self, run: Run, pod: int) -> dict[str, Any]:
        """What the pod is told to run, with the values of the secrets that its stages name."""
        ongoing = self._runners.open(run)
        said = ongoing.pod(pod)
        stages = self._runners.stages(run, ongoing)
        mine = [stages[stage["address"]] for stage in said]
        done = {stage.address for stage in mine if stage.status in WELL}
        go = len(done) == len(mine) or self._goes(run, ongoing, stages, [s for s in mine if s.address not in done])
        states: dict[str, dict[str, Any]] = {}
        for stage in said:
            address = stage["address"]
            # Where nothing more begins, the log of what runs is still to be masked.
            wanted = address not in done and (go or stages[address].status == "running")
            named = stage["secrets"] if wanted else {}
            values = self._parts.secrets(run, set(named.values())) if named else {}
            states[address] = {
                "attempt": stages[address].attempt,
                "done": address in done,
                "secrets": {variable: values[name] for variable, name in named.items() if name in values},
                "environment": _requirements(ongoing, address),
            }
        remote, pods = self._parts.addresses(run)
        return contract.share(ongoing.document, pod, states, go=go) | {
            "archive": f"{pods}/{archives.NAME}", "batch": f"{remote}/batch", "remote": remote, "log_limit": LOG_LIMIT,
            "index": self._parts.index, "proxy": self._parts.proxy.told(ongoing.document),
        }  # fmt: skip

    def archive(self, run: Run) -> Path:
        """The run's commit as a tar. Raises Unavailable."""
        self._runners.open(run)
        return archives.commit(self._parts.work, run, self._parts.repository(run.repository_id))

    def begin(self, run: Run, pod: int, index: int, who: str, attempt: int) -> dict[str, Any]:
        """Begin an attempt, or say why not. Raises Paused, Conflict where what the stage needs is still to come."""
        ongoing = self._runners.open(run)
        said = ongoing.said(pod, index)
        if run.status == "paused":
            raise Paused(text("the run is paused"))
        with self._stage(run, said["address"]):
            for _ in range(TRIES):
                answer = self._begun(run, ongoing, said, who, attempt)
                if answer is not None:
                    return answer
        raise errors.Unavailable(text("the stage changes faster than it can be begun: ask again"))

    def log(self, run: Run, pod: int, index: int, attempt: int, offset: int, data: bytes) -> int:
        """Take a piece of an attempt's log; gives the log's size. Raises Behind where there is a gap before it,
        Conflict for a log that is closed or was never begun, LimitExceeded."""
        address = self._runners.open(run).said(pod, index)["address"]
        with self._stage(run, address):
            mine = place(self._parts.work, run.id, address, attempt)
            if mine.begun() is None or mine.closed or mine.over() is not None:
                raise errors.Conflict(text("this attempt does not run"))
            return self._append(mine, offset, data)

    def _rest_of_log(self, mine: Place, said: object) -> None:
        """Take the last piece of a log that came along with its end. Raises as `log` does, WrongUse."""
        if said is not None:
            self._append(mine, *outcomes.rest_of_log(said))

    def _append(self, mine: Place, offset: int, data: bytes) -> int:
        if offset < 0 or offset + len(data) > self._parts.log_most:
            raise errors.LimitExceeded(text("a log may have %(limit)s bytes here", limit=self._parts.log_most))
        size = mine.append(data, offset)
        if size < offset:
            raise outcomes.Behind(text("a piece of the log is missing before this one"), size=size)
        return size

    def figure(self, run: Run, pod: int, index: int, who: str, attempt: int, path: str, data: bytes) -> None:
        """Take what a metrics or plots file of a stage says while it runs. Raises Conflict for an attempt that is not
        this pod's or is over, WrongUse for a file that is none of those, LimitExceeded, Unavailable."""
        ongoing = self._runners.open(run)
        address = ongoing.said(pod, index)["address"]
        with self._stage(run, address):
            mine = place(self._parts.work, run.id, address, attempt)
            begun = mine.begun()
            if begun is None or begun.who != who or mine.closed or mine.over() is not None:
                raise errors.Conflict(text("this attempt does not run"))
            figures.keep(mine, run.project, ongoing.items[address].stage, path, data)
        self._parts.bell.ring(f"run:{run.id}")

    def listing(self, run: Run, pod: int, index: int, attempt: int, said: Mapping[str, Any]) -> dict[str, Any]:
        """What a stage made as it will be recorded, and the objects of it that are not in the store yet. Raises Unfit
        for outputs that cannot be taken, WrongUse, LimitExceeded."""
        ongoing = self._runners.open(run)
        address = ongoing.said(pod, index)["address"]
        if place(self._parts.work, run.id, address, attempt).begun() is None:
            raise errors.Conflict(text("this attempt does not run"))
        memory = self._parts.memory(run)
        stage = ongoing.items[address].stage
        found = outcomes.outputs(stage, said, memory, self._parts.files)
        outs = {out.path: _told(found.hashes[out.root]) for out in stage.outs}
        return {"outs": outs, "wanted": found.wanted(memory.objects)}

    def end(self, run: Run, pod: int, index: int, who: str, attempt: int, said: Mapping[str, Any]) -> dict[str, Any]:
        """Record how an attempt ended, and say whether the pod goes on with another one. Raises Behind where objects
        are `wanted` still, Conflict for an attempt that is not this pod's or that somebody else has ended, and for one
        that was stopped although nobody asked for it, if that is what is to be said (`if_asked`), Unfit for outputs
        that came along and cannot be taken."""
        ongoing = self._runners.open(run)
        stage = ongoing.said(pod, index)
        address = stage["address"]
        with self._stage(run, address):
            mine = place(self._parts.work, run.id, address, attempt)
            begun = mine.begun()
            over = mine.over()
            if begun is None or begun.who != who or (over is not None and over.who != who):
                raise errors.Conflict(text("this attempt is not that pod's"))
            if over is None:
                if said.get("if_asked") is True and not self._stopping(run):
                    raise errors.Conflict(text("nobody stops this run"))
                stages = self._runners.stages(run, ongoing)
                now = stages[address]
                if now.attempt != attempt or now.status not in UNBEGUN:
                    raise errors.Conflict(text("this attempt was ended by somebody else"))
                self._rest_of_log(mine, said.get("log"))
                over = replace(self._ending(run, ongoing, stage, begun, attempt, said, stages), who=who)
                mine.end(over)
            if not self._close(run, mine, over):
                raise errors.Conflict(text("this attempt was ended by somebody else"))
            if over.state.entry is not None:
                ongoing.known.learn(address, over.state.entry)
        answer = {"again": over.follower is not None, "attempt": over.follower or attempt}
        return answer if over.state.entry is None else answer | self._then(run, pod, who, said.get("then"))

    def _then(self, run: Run, pod: int, who: str, said: object) -> dict[str, Any]:
        """The beginning of the stage behind, for which a pod asks along with a good end. Nothing where it cannot begin:
        the pod asks once more by itself, and hears why."""
        index, attempt = (said.get("index"), said.get("attempt")) if isinstance(said, dict) else (None, None)
        if type(index) is not int or type(attempt) is not int:
            return {}
        try:
            return {"then": self.begin(living(self._parts.runs, run.id), pod, index, who, attempt)}
        except (errors.RefmillError, OSError) as error:
            LOG.info("%s: the stage behind does not begin with the end of the one before: %s", run.name, error)
            return {}

    def _stage(self, run: Run, address: str) -> AbstractContextManager[None]:
        """One request of a stage at a time."""
        return held(self._parts.work / run.id / f"{attempts.name(address, 0)}.lock")

    def _goes(self, run: Run, ongoing: Ongoing, stages: Mapping[str, StageRun], left: Iterable[StageRun]) -> bool:
        """Whether a pod with these stages still to do has anything to do."""
        if self._stopping(run) or ongoing.closed(stages) is not None:
            return False
        return all(stage.status in UNBEGUN or stage.asks for stage in left) and not any(
            ongoing.hopeless(stage.address, stages) for stage in left
        )

    def _stopping(self, run: Run) -> bool:
        return any(run_id == run.id and wish in ENDS for run_id, wish in self._parts.states.wishes())

    def _begun(
        self, run: Run, ongoing: Ongoing, said: Mapping[str, Any], who: str, attempt: int
    ) -> dict[str, Any] | None:
        """The answer to a pod that begins a stage, None if the stage changed meanwhile."""
        address = said["address"]
        stages = self._runners.stages(run, ongoing)
        now = stages[address]
        if now.status in WELL:
            return _cached(ongoing.items[address].stage, now.entry or ongoing.known.entries[address])
        if (why := self._refusal(run, ongoing, now, stages)) is not None:
            return {"do": "stop", "why": str(why)}
        if now.asks or (said.get("pause") and now.status == "pending"):
            raise Paused(text("%(address)s waits for somebody's consent", address=address))
        if above := ongoing.waits(address, stages):
            raise errors.Conflict(text("the result of %(address)s is still to come", address=above))
        mine = place(self._parts.work, run.id, address, now.attempt)
        begun, over = mine.begun(), mine.over()
        if over is not None:  # its state was not told, or is told meanwhile
            return None if self._close(run, mine, over) else self._stop(run, address)
        if begun is not None and begun.who == who:
            if attempt > now.attempt:
                raise errors.Conflict(text("attempt %(number)s has not ended", number=now.attempt))
            return dict(begun.answer) if self._run(run, address, now.attempt, begun.started) else None
        if begun is not None and attempt < now.attempt:  # a pod that was taken for lost does not take it back
            raise errors.Conflict(text("attempt %(number)s is another pod's", number=now.attempt))
        if begun is not None or now.status == "running":
            mine.end(self._lost(run, address, now.attempt, begun.started if begun else now.started))
            return None
        return self._look(run, ongoing, said, now, who, mine)

    def _refusal(self, run: Run, ongoing: Ongoing, now: StageRun, stages: Mapping[str, StageRun]) -> Text | None:
        """Why a stage does not begin, now or later."""
        if now.status in BADLY and not now.asks:
            return now.explanation or text("it has failed for good")
        if now.status in ("skipped", "stopped") or self._stopping(run):
            return now.explanation or text("was stopped")
        return ongoing.closed(stages) or ongoing.hopeless(now.address, stages)

    def _stop(self, run: Run, address: str) -> dict[str, Any] | None:
        """For a stage whose attempt somebody else has ended: None, to look again, but where it never began again."""
        now = next(stage for stage in self._parts.runs.stages(run.id) if stage.address == address)
        return None if now.status in UNBEGUN else {"do": "stop", "why": str(now.explanation or text("was stopped"))}

    def _look(
        self, run: Run, ongoing: Ongoing, said: Mapping[str, Any], now: StageRun, who: str, mine: Place
    ) -> dict[str, Any] | None:
        """Look at a stage all of whose inputs are there: its result may be known, or it begins."""
        address = now.address
        item, inputs = ongoing.known.look(ongoing.items[address])
        state = StageRun(address, "blocked", now.attempt)
        if item.verdict == "cached":
            note = next((reason.message for reason in item.reasons if reason.kind == "environment"), None)
            if not self._tell(run, replace(state, status="cached", explanation=note, entry=item.entry)):
                return None
            ongoing.known.learn(address, item.entry)
            return _cached(item.stage, item.entry)
        if item.verdict != "run":
            why = item.reasons[0].message if item.reasons else text("its inputs are not there")
            state = replace(state, explanation=why)
            return {"do": "stop", "why": str(why)} if self._tell(run, state) else None
        if (lacking := self._lacking(run, said)) is not None:
            state = replace(state, status="failed", explanation=lacking)
            return {"do": "stop", "why": str(lacking)} if self._tell(run, state) else None
        known = item.entry
        answer = {
            "do": "run",
            "attempt": now.attempt,
            **self._inputs(ongoing, item.stage, inputs),
            "env": variables(run.id, address, StageSettings(cpu=said.get("cpu", 1.0), env=said["env"])),
        }
        started = self._parts.clock()
        mine.begin(Begun(who, started, known, answer))
        return answer if self._run(run, address, now.attempt, started) else None

    def _lacking(self, run: Run, said: Mapping[str, Any]) -> Text | None:
        """The refusal of a stage that names a secret which is not set."""
        names = set(said["secrets"].values())
        missing = sorted(names - set(self._parts.secrets(run, names))) if names else []
        return endings.unset(missing[0], run.repository) if missing else None

    @staticmethod
    def _inputs(ongoing: Ongoing, stage: Stage, inputs: Inputs) -> dict[str, Any]:
        """What the pod fetches before the command: inputs out of the store, and what persisting outputs held."""
        known = ongoing.known
        wanted = knowledge.wanted(inputs, known.materials)
        locked = known.plan.pipeline.lock.get(stage.address)
        held_before = {
            out.path: knowledge.previous(locked, out, known.memory.objects) for out in stage.outs if out.persist
        }
        return {
            "inputs": {path: _object(item) for path, item in wanted.items()},
            "persist": {path: _object(item) for path, item in held_before.items() if item is not None},
        }

    def _lost(self, run: Run, address: str, attempt: int, started: int | None) -> Over:
        """The end of an attempt whose pod is gone."""
        again = self._again(run, address, attempt, "lost", 0)
        end = Exit("lost", "", None, None, started or self._parts.clock(), 0.0, Usage())
        state = StageRun(
            address, "failed", attempt, end.started, self._parts.clock(), None,
            explanation=endings.explain(end, memory=0, timeout=None), fault=True,
        )  # fmt: skip
        return Over("lost", state, attempt + 1 if again else None)

    def _again(self, run: Run, address: str, attempt: int, reason: str, retries: int) -> bool:
        """Whether another attempt follows this one, which ended for `reason`."""
        failures, losses = earlier(self._parts.work, run.id, address, attempt)
        return endings.again(reason, failures=failures, losses=losses, retries=retries)

    def _ending(
        self, run: Run, ongoing: Ongoing, stage: Mapping[str, Any], begun: Begun, attempt: int,
        said: Mapping[str, Any], stages: Mapping[str, StageRun],
    ) -> Over:  # fmt: skip
        """What an attempt came to."""
        end = outcomes.exit_of(said, begun.started)
        address = stage["address"]
        entry: LockEntry | None = None
        made = 0
        why = outcomes.explained(end, stage, self._parts.stage_memory, self._parts.bounds)
        if why is None:
            memory, most = self._parts.memory(run), self._parts.files
            try:
                entry, made = outcomes.recorded(
                    ongoing.items[address].stage, begun.known, said.get("listing"), memory, most,
                    ongoing.known.plan.pipeline.lock.get(address), said.get("objects"),
                )  # fmt: skip
            except listings.Unfit as error:
                if "objects" in said:  # nobody asked before whether they can be taken: the pod hears it, and says so
                    raise
                why = error.message
        stopping = entry is None and self._stopping(run)  # asked of the database, and of no attempt that ended well
        taken = end.reason == "stopped" and not stopping
        finished = end.started + int(end.seconds * 1_000_000)
        environments: Mapping[str, str] = ongoing.document.get("environments") or {}
        state = StageRun(
            address, "failed" if entry is None else "succeeded", attempt, end.started, finished, end.seconds, end.code,
            TAKEN if taken else why, entry, replace(end.usage, output_bytes=made), environments.get(address, ""),
        )  # fmt: skip
        if entry is not None:
            return Over("exited", state)
        reason = "lost" if taken else end.reason
        if stopping:
            return Over("stopped", replace(state, status="stopped"))
        again = self._again(run, address, attempt, reason, int(stage["retries"]))
        state = replace(state, fault=reason in endings.FAULTS)
        return Over(reason, state, attempt + 1 if again and ongoing.closed(stages) is None else None)

    def _run(self, run: Run, address: str, attempt: int, started: int) -> bool:
        return self._tell(run, StageRun(address, "running", attempt, started))

    def _close(self, run: Run, mine: Place, over: Over) -> bool:
        """Close an attempt's log and tell its end, together with the attempt that follows; whether it stands so now."""
        state = over.state
        mine.put_away(run, state, self._parts.keep)
        if self._tell(run, *over.states):
            return True
        known = self._parts.history.attempts(run.id)
        return any(
            (stage.address, stage.attempt, stage.status) == (state.address, state.attempt, state.status)
            for stage in known
        )

    def _tell(self, run: Run, *states: StageRun) -> bool:
        """Store states of one stage, if its latest attempt is the first one's and has not ended."""
        first = states[0]
        told = self._parts.states.set_stages(run.id, states, expected={first.address: (first.attempt, UNBEGUN)})
        if told:
            self._parts.bell.ring(f"run:{run.id}")
            self._parts.bell.ring(TELLING + run.id)
        return told


def living(runs: Runs, run_id: str) -> Run:
    """A run that has not ended. Raises Gone, also for one that is deleted."""
    try:
        run = runs.get(run_id)
    except errors.NotFound as error:
        raise Gone(text("the run is deleted")) from error
    if run.status in RUN_ENDED:
        raise Gone(text("the run has ended"))
    return run


def _requirements(ongoing: Ongoing, address: str) -> str:
    """The digest of what the stage's requirements file asks for, with all that it includes."""
    parts = str((ongoing.document.get("environments") or {}).get(address, "")).split(":")
    return parts[1] if len(parts) > 1 else ""


def _cached(stage: Stage, entry: LockEntry) -> dict[str, Any]:
    recorded = by_path(entry)
    outs = {out.path: _object(recorded[out.path]) for out in stage.outs if recorded.get(out.path, {}).get("md5")}
    return {"do": "cached", "outs": outs}


def _object(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"md5": FileHash.of(item).md5, "isexec": bool(item.get("isexec"))}


def _told(found: FileHash) -> dict[str, Any]:
    return {"md5": found.md5, "size": found.size, "nfiles": found.nfiles, "isexec": found.isexec}
