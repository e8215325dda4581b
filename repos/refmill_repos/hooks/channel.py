"""The server's end of a push's hooks: reads what git announces, asks the listener, sends its lines."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from refmill import errors
from refmill.model.pushes import RefUpdate
from refmill.texts import Text, Translate, counted, text
from refmill_repos import names
from refmill_repos.gate import Admission, Push, PushListener, Verdict

_log = logging.getLogger("refmill.git")

MAX_LINES = 500
_FIELD_LIMIT = 64 << 10


@dataclass(slots=True)
class _Message:
    """What one hook said."""

    hook: str = ""
    quarantine: str = ""
    options: list[str] = field(default_factory=list)
    updates: list[RefUpdate] = field(default_factory=list)


class HookChannel:
    """Two pipes to the hooks of one receive-pack, answered by one thread. Use: `environment` and `fds` for the child,
    then `start` once it runs (or `abandon`), and `join` after it ended."""

    def __init__(self, listener: PushListener, admission: Admission, translate: Translate) -> None:
        self._listener, self._admission, self._translate = listener, admission, translate
        self._asked, ask = os.pipe()
        answer, self._answers = os.pipe()
        self.fds = (ask, answer)
        self._heard = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="git-hooks", daemon=True)

    @property
    def environment(self) -> Mapping[str, str]:
        """What tells the hooks their ends of the pipes."""
        return {"REFMILL_ASK": str(self.fds[0]), "REFMILL_ANSWER": str(self.fds[1])}

    def start(self) -> None:
        """The child has its ends: close ours of them and answer."""
        for fd in self.fds:
            os.close(fd)
        self._thread.start()

    def abandon(self) -> None:
        """The child could not be started."""
        for fd in (*self.fds, self._asked, self._answers):
            os.close(fd)

    def heard(self, seconds: float) -> bool:
        """Whether within so many seconds the first hook has asked, or receive-pack and all its children are gone."""
        return self._heard.wait(seconds)

    def join(self) -> None:
        """Until the listener has heard the end of the push."""
        self._thread.join()

    def _serve(self) -> None:
        """Answer until receive-pack and all its children are gone."""
        verdict: Verdict | None = None
        landed = False
        with open(self._asked, "rb", buffering=0) as asked, open(self._answers, "wb", buffering=0) as answers:
            try:
                for message in _messages(asked):
                    self._heard.set()
                    if message.hook == "pre-receive":
                        verdict = self._before(message)
                        self._say(answers, verdict.lines, b"ok\n" if verdict.accepted else b"no\n")
                    elif verdict is not None and verdict.accepted and not landed:
                        landed = True
                        self._say(answers, self._after(verdict, message), b"ok\n")
            except (OSError, ValueError) as error:
                _log.warning("push to %s: the hooks broke off: %s", self._admission.repository_id, error)
            finally:
                self._heard.set()
            if verdict is not None and verdict.accepted and not landed:
                self._failed(verdict)

    def _before(self, message: _Message) -> Verdict:
        faults = _faults(message)
        if faults:
            return Verdict(accepted=False, lines=tuple(fault.to(self._translate) for fault in faults[:20]))
        push = Push(
            repository_id=self._admission.repository_id,
            user=self._admission.user,
            updates=tuple(message.updates),
            options=tuple(message.options),
            quarantine=Path(message.quarantine) if message.quarantine else None,
        )
        try:
            return self._listener.before(push)
        except errors.RefmillError as error:
            words = [error.message, *([error.remedy] if error.remedy else [])]
            return Verdict(accepted=False, lines=tuple(word.to(self._translate) for word in words))
        except Exception:  # noqa: BLE001 - outermost: a push that cannot be judged is refused, and its pusher is told
            _log.exception("push to %s: the listener failed", push.repository_id)
            words = [text("Refmill failed to check this push; nothing was changed. Its log says more.")]
            return Verdict(accepted=False, lines=tuple(word.to(self._translate) for word in words))

    def _after(self, verdict: Verdict, message: _Message) -> Iterator[str]:
        try:
            yield from self._listener.after(verdict.ticket, tuple(message.updates))
        except Exception:  # noqa: BLE001 - outermost: the refs have moved, so nothing here may look like a failed push
            _log.exception("push to %s: answering failed", self._admission.repository_id)

    def _failed(self, verdict: Verdict) -> None:
        try:
            self._listener.failed(verdict.ticket)
        except Exception:  # noqa: BLE001 - outermost of this thread
            _log.exception("push to %s: noting its end failed", self._admission.repository_id)

    def _say(self, answers: BinaryIO, lines: Iterable[str], end: bytes) -> None:
        """Send the lines, each safe on a terminal, then `end`."""
        count = 0
        for line in (part for item in lines for part in item.split("\n")):
            count += 1
            if count <= MAX_LINES:
                _write(answers, b"m" + names.shown(line).encode() + b"\n")
        if count > MAX_LINES:
            more = counted("… and %(count)s more line", "… and %(count)s more lines", count - MAX_LINES).to(
                self._translate
            )
            _write(answers, b"m" + more.encode() + b"\n")
        _write(answers, end)


def _messages(asked: BinaryIO) -> Iterator[_Message]:
    """The hooks' messages one after the other, until the pipe ends. Raises ValueError for what no hook of ours says."""
    message = _Message()
    for item in _fields(asked):
        kind, value = item[:1].decode("latin-1"), item[1:].decode("utf-8", "surrogateescape")
        if kind == "h":
            message.hook = value
        elif kind == "q":
            message.quarantine = value
        elif kind == "o":
            message.options.append(value)
        elif kind == "u":
            old, new, ref = value.split(" ", 2)
            message.updates.append(RefUpdate(ref, old, new))
        elif kind == ".":
            yield message
            message = _Message()


def _fields(asked: BinaryIO) -> Iterator[bytes]:
    """NUL-ended fields, of bounded size."""
    held = b""
    while chunk := asked.read(_FIELD_LIMIT):
        *whole, held = (held + chunk).split(b"\0")
        yield from whole
        if len(held) > _FIELD_LIMIT:
            raise ValueError("a field without end")


def _faults(message: _Message) -> list[Text]:
    """What is wrong with a push whoever sends it, and whatever is in it."""
    # What got in somehow may go again, as long as its name can be written down.
    judged = (update.ref for update in message.updates if not update.deletes or not update.ref.isprintable())
    faults = [fault for ref in judged if (fault := names.ref_fault(ref))]
    if any(names.shown(option, 500) != option for option in message.options):
        faults.append(text("push options are one line of at most 500 letters each"))
    return faults


def _write(pipe: BinaryIO, data: bytes) -> None:
    while data:
        data = data[pipe.write(data) :]
