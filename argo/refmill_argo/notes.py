"""What the desk keeps of attempts that pods begin, below the folder of work in progress.

`<work>/<run>/<stage>-<attempt>/` is where the local engine has its attempts, too (`refmill.engine.attempts`), so that
logs are read from one place. Beside `log` lie `begun.json`, which says which pod has the attempt and what it was told,
and `over.json`, which says how it ended. The rule to keep: a paper stands before the state that it is the reason of, so
that whoever asks again after a crash is told the same.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refmill import errors
from refmill.clients import codec, files
from refmill.engine import attempts, logs
from refmill.model.pipelines import LockEntry
from refmill.model.runs import Run, StageRun
from refmill.texts import Text

LOG = logging.getLogger(__name__)
BEGUN, OVER, CLOSED = "begun.json", "over.json", "ended"
"""`ended` is what readers of logs look for, as for the local engine."""
TELLING = "pods:"
"""Before a run's id: the topic of the bell that rings when a pod of it has told something."""


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt that the pod `who` has. `known` is the lock entry from before its command ran, `answer` what the pod
    was told; `started` is UTC microseconds."""

    who: str
    started: int
    known: LockEntry
    answer: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Over:
    """How an attempt ended: the reason as the supervisor's, the state that is told, and the number of the attempt that
    follows it, if one does. `who` is the pod that said so, "" where it was said about that pod."""

    reason: str
    state: StageRun
    follower: int | None = None
    who: str = ""

    @property
    def states(self) -> tuple[StageRun, ...]:
        """What is told of it: how it ended, and the attempt that follows, if one does."""
        follower = () if self.follower is None else (StageRun(self.state.address, "queued", self.follower),)
        return self.state, *follower


@dataclass(frozen=True, slots=True)
class Place:
    """One attempt of one stage."""

    folder: Path

    def begun(self) -> Begun | None:
        """Who has it; None if nobody."""
        found = attempts.read_json(self.folder / BEGUN) or {}
        known = attempts.read_entry(found.get("known"))
        if known is None:
            return None
        return Begun(found["who"], found["started"], known, found["answer"])

    def begin(self, paper: Begun) -> None:
        """Note who has it. Raises OSError."""
        files.make_directory(self.folder)
        body = {"who": paper.who, "started": paper.started, "known": attempts.entry_text(paper.known)}
        attempts.write(self.folder / BEGUN, json.dumps({**body, "answer": dict(paper.answer)}))

    def over(self) -> Over | None:
        """How it ended; None if it has not."""
        try:
            return codec.from_json(Over, (self.folder / OVER).read_bytes())
        except (OSError, errors.Damaged):
            return None

    def end(self, paper: Over) -> None:
        """Note how it ended. Raises OSError."""
        files.make_directory(self.folder)
        attempts.write(self.folder / OVER, codec.to_json(paper, [paper.state.entry]))

    @property
    def log(self) -> Path:
        """What its command prints."""
        return self.folder / attempts.LOG

    @property
    def figures(self) -> Path:
        """What its metrics and plots say by now, while it runs."""
        return self.folder.parent / attempts.FIGURES / self.folder.name

    @property
    def closed(self) -> bool:
        """Whether nothing more comes into its log."""
        return (self.folder / CLOSED).exists()

    def put_away(self, run: Run, state: StageRun, keep: Callable[[Run, str, int, Path], None]) -> None:
        """Close its log with the reason of a bad end, and `keep` it. Again is no error."""
        if self.closed:
            return
        try:
            if state.explanation is not None:
                self.remark(state.explanation)
            keep(run, state.address, state.attempt, self.log)
            self.close()
        except FileNotFoundError:
            self.close()  # it said nothing at all
        except OSError as error:
            LOG.warning("the log of %s of %s is not kept: %s", state.address, run.name, error)

    def close(self) -> None:
        """From here on nothing more comes into its log, and its results say what its figures said. Raises OSError."""
        shutil.rmtree(self.figures, ignore_errors=True)
        (self.folder / CLOSED).touch()

    def remark(self, why: Text) -> None:
        """Append the reason of a bad end to the log, once and on a line of its own. Raises OSError."""
        words = f" s {' '.join(str(why).split())}\n".encode("utf-8", "replace")
        if self.log.exists():
            with self.log.open("rb+") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - len(words)))
                tail = file.read()
                if tail == words:
                    return
                if tail and not tail.endswith(b"\n"):
                    file.write(b"\n")
        logs.note(self.folder, why)

    def append(self, data: bytes, offset: int) -> int:
        """Put `data` at a place of the log; what is there already stays as it is. Gives the log's size afterwards,
        which is below `offset` where there is a gap: then nothing is written. Raises OSError."""
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            view = memoryview(data)[size - offset :] if offset <= size else memoryview(b"")
            while view:
                written = os.pwrite(descriptor, view, size)
                view, size = view[written:], size + written
            return size
        finally:
            os.close(descriptor)


def place(work: Path, run_id: str, address: str, attempt: int) -> Place:
    """An attempt's place."""
    return Place(attempts.directory(work, run_id, address, attempt))


def earlier(work: Path, run_id: str, address: str, attempt: int) -> tuple[int, int]:
    """Of a stage's attempts before number `attempt`: how many failed, and how many were lost."""
    ends = [place(work, run_id, address, number).over() for number in range(1, attempt)]
    lost = sum(over is None or over.reason == "lost" for over in ends)
    return len(ends) - lost, lost
