"""What the data remote spares a client that asks thousands of times, and what it must not spare."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from refmill import errors
from refmill.texts import text
from refmill_repos.gate import Admission, Service
from refmill_web.admissions import RecentAdmissions
from refmill_web.arrivals import Arrivals


class CountingGate:
    """Admits ann everywhere, and counts."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Service, str | None]] = []
        self.closed = False

    def admit(self, owner: str, name: str, service: Service, authorization: str | None) -> Admission:
        self.asked.append((owner, name, service, authorization))
        if authorization != "ann" or self.closed:
            raise errors.Unauthorized(text("nobody"))
        return Admission(f"id-{name}", "ann", Path(name))


def test_who_was_just_admitted_is_not_looked_up_again() -> None:
    gate = CountingGate()
    recent = RecentAdmissions(gate, seconds=60)
    for _ in range(3):
        assert recent.admit("ann", "data", "read", "ann").repository_id == "id-data"
    assert len(gate.asked) == 1


def test_leave_for_one_thing_is_none_for_another() -> None:
    gate = CountingGate()
    recent = RecentAdmissions(gate, seconds=60)
    recent.admit("ann", "data", "read", "ann")
    recent.admit("ann", "data", "write", "ann")
    assert recent.admit("ann", "models", "read", "ann").repository_id == "id-models"
    for stranger in (None, "", "bob", "ann\n"):
        for _ in range(2):
            with pytest.raises(errors.Unauthorized):
                recent.admit("ann", "data", "read", stranger)
    with pytest.raises(errors.Unauthorized):  # names cannot run into one another
        recent.admit("ann\ndata", "read", "read", "")
    assert len(gate.asked) == 3 + 8 + 1


def test_what_was_taken_back_is_closed_when_its_moment_has_passed() -> None:
    gate = CountingGate()
    recent = RecentAdmissions(gate, seconds=0.05)
    recent.admit("ann", "data", "read", "ann")
    gate.closed = True
    time.sleep(0.1)
    with pytest.raises(errors.Unauthorized):
        recent.admit("ann", "data", "read", "ann")


def test_objects_that_arrive_while_others_are_told_are_told_together() -> None:
    told: list[tuple[str, list[str]]] = []
    began, go_on = threading.Event(), threading.Event()

    def tell(repository: str, md5s: Sequence[str]) -> None:
        told.append((repository, sorted(md5s)))
        began.set()
        assert go_on.wait(10)

    arrivals = Arrivals(tell)
    threads = [threading.Thread(target=arrivals.note, args=("one", "first"))]
    threads[0].start()
    assert began.wait(10)
    threads += [threading.Thread(target=arrivals.note, args=("one", f"{number}")) for number in range(4)]
    threads += [threading.Thread(target=arrivals.note, args=("two", "other"))]
    for thread in threads[1:]:
        thread.start()
    while len(getattr(arrivals._groups.get("one"), "md5s", [])) < 4 or "two" not in arrivals._groups:
        time.sleep(0.001)
    assert all(thread.is_alive() for thread in threads)  # nobody is answered before
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert sorted(told) == [("one", ["0", "1", "2", "3"]), ("one", ["first"]), ("two", ["other"])]
    assert arrivals._groups == {}


def test_all_who_waited_hear_that_telling_failed() -> None:
    def tell(repository: str, md5s: Sequence[str]) -> None:
        raise errors.Unavailable(text("busy"))

    arrivals = Arrivals(tell)
    for _ in range(2):
        with pytest.raises(errors.Unavailable):
            arrivals.note("one", "first")
