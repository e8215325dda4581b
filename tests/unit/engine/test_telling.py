"""What happens in a run is told in order, and what happens at nearly the same time is told together."""

from __future__ import annotations

import threading

import pytest

from refmill import errors
from refmill.engine import telling
from refmill.engine.telling import Teller
from refmill.model.runs import StageRun
from refmill.texts import text


class Slow:
    """A listener that waits for `go`; `calls` are the numbers of states that it was told, "end" is the end."""

    def __init__(self) -> None:
        self.calls: list[object] = []
        self.addresses: list[str] = []
        self.go = threading.Event()
        self.refusals = 0

    def stages(self, run_id: str, stages: list[StageRun]) -> None:
        assert self.go.wait(10)
        if self.refusals:
            self.refusals -= 1
            raise errors.Unavailable(text("not now"))
        self.calls.append((run_id, len(stages)))
        self.addresses += [stage.address for stage in stages]


def finished(teller: Teller, listener: Slow) -> None:
    done = threading.Event()
    teller.do(lambda: listener.calls.append("end"))
    teller.do(done.set)
    assert done.wait(10)
    teller.close()


def test_what_comes_while_the_listener_is_busy_is_one_call_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "GATHER", 0.0)
    listener = Slow()
    teller = Teller(listener)
    teller.stage("r1", StageRun("first", "running"))
    while not teller._queue.empty():
        pass
    for number in range(40):
        teller.stage("r1", StageRun(str(number), "running"))
    teller.stage("r2", StageRun("other", "running"))
    listener.go.set()
    finished(teller, listener)
    assert listener.calls[-1] == "end"
    assert len(listener.calls) <= 4
    assert listener.addresses == ["first", *map(str, range(40)), "other"]


def test_a_listener_that_could_not_listen_is_told_again_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "AGAIN", (0.0, 0.0))
    listener = Slow()
    listener.refusals = 2
    listener.go.set()
    teller = Teller(listener)
    teller.stage("r1", StageRun("a", "running"))
    finished(teller, listener)
    assert listener.calls == [("r1", 1), "end"]
