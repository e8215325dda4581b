"""What fails again and again is tried at a slower and slower pace, and told as long as it fails."""

from fakes.record_values import Watch
from refmill.flows.asides import BRIEF, LONGEST_PAUSE, SOON, Asides
from refmill.model.asides import Aside
from refmill.texts import text


def test_pauses_grow_up_to_the_longest_and_end_with_the_first_success() -> None:
    watch, told = Watch(), list[tuple[Aside, ...]]()
    asides = Asides(lambda found: told.append(tuple(found)), clock=watch, now=lambda: 7)
    pauses = []
    for _ in range(20):
        asides.failed("sweep:r", "r", text("no"))
        began = watch.seconds
        while asides.rests("sweep:r"):
            watch.seconds += 10
        pauses.append(watch.seconds - began)
    assert pauses[: SOON - 1] == [0.0] * (SOON - 1)
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE
    assert not asides.rests("sweep:other")
    assert told[-1] == (Aside("r", "sweep:r", text("no"), 7, 20, 7 + int(LONGEST_PAUSE * 1e6)),)
    asides.well("sweep:r")
    assert told[-1] == ()


def test_what_is_nobodys_fault_is_tried_again_soon() -> None:
    watch = Watch()
    asides = Asides(lambda found: None, clock=watch)
    for _ in range(20):
        asides.failed("event:1", "r", text("full"), lasting=False)
    watch.seconds = BRIEF
    assert not asides.rests("event:1")
