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
    teller.do("end", lambda: listener.calls.append("end"))
    teller.do("end", done.set)
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


def test_an_attempt_that_is_lost_is_never_told_without_the_one_that_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "GATHER", 0.0)
    listener = Slow()
    listener.go.set()
    teller = Teller(listener)
    teller.stage("r1", StageRun("a", "failed", 1), StageRun("a", "queued", 2))
    finished(teller, listener)
    assert listener.calls[0] == ("r1", 2)


def test_a_listener_that_could_not_listen_is_told_again_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "AGAIN", (0.0, 0.0))
    listener = Slow()
    listener.refusals = 2
    listener.go.set()
    teller = Teller(listener)
    teller.stage("r1", StageRun("a", "running"))
    finished(teller, listener)
    assert listener.calls == [("r1", 1), "end"]


def test_a_full_disk_delays_and_loses_nothing_and_others_are_told_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "AGAIN", (0.0,))
    monkeypatch.setattr(telling, "LATER", 0.05)
    listener = Slow()
    listener.go.set()
    teller = Teller(listener)
    full = threading.Event()
    told: list[str] = []

    def end() -> None:
        if not full.is_set():
            raise errors.Unavailable(text("the disk is full"))
        told.append("r1 ended")

    teller.do("r1", end)
    teller.do("r1", lambda: told.append("after"))
    other = threading.Event()
    teller.do("r2", other.set)
    assert other.wait(10)
    assert told == []
    full.set()
    done = threading.Event()
    teller.do("r1", done.set)
    assert done.wait(10)
    assert told == ["r1 ended", "after"]
    teller.close()


def test_what_can_never_be_told_is_given_up_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "AGAIN", (0.0,))
    monkeypatch.setattr(telling, "LATER", 0.01)
    teller = Teller(Slow())
    given_up: list[str] = []
    done = threading.Event()

    def never() -> None:
        raise errors.Damaged(text("the git object cannot be read"))

    teller.do("r1", never, given_up.append)
    teller.do("r1", done.set)
    assert done.wait(10)
    assert given_up == ["the git object cannot be read"]
    teller.close()
