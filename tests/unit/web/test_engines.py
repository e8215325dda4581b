"""Which engine carries out a run: the operator's, or one that the operator lets a repository choose."""

from collections.abc import Iterable

import pytest

from refmill import errors, specs
from refmill.settings import load
from refmill_web import engines


def documents(engine: str | None) -> specs.Documents:
    return specs.Documents(specs.PipelineSpec(engine=engine))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("flags", "wanted", "chosen"),
    [
        ({}, None, "local"), ({}, "local", "local"), ({"engine": "argo"}, None, "argo"),
        ({"engine": "argo", "engines": "local"}, "local", "local"), ({"engines": "local, argo"}, "argo", "argo"),
        ({"engines": "local, argo"}, None, "local"),
    ],
)  # fmt: skip
def test_a_repository_chooses_among_what_the_operator_allows(tmp_path, flags, wanted, chosen):
    assert engines.choose(load({"data": tmp_path, **flags}, {}), documents(wanted)) == chosen


@pytest.mark.parametrize(("flags", "wanted"), [({}, "argo"), ({"engine": "argo"}, "local")])
def test_what_the_operator_does_not_allow_is_refused_by_name(tmp_path, flags, wanted):
    with pytest.raises(errors.WrongUse, match=f"asks for the engine “{wanted}”"):
        engines.choose(load({"data": tmp_path, **flags}, {}), documents(wanted))


class Noted:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def submit(self, order):
        self.asked.append("submit")

    def stop(self, run_id: str) -> None:
        self.asked.append(f"stop {run_id}")

    def pause(self, run_id: str) -> None:
        self.asked.append(f"pause {run_id}")

    def resume(self, run_id: str, consent: Iterable[str] = ()) -> None:
        self.asked.append(f"resume {run_id} {list(consent)}")

    def clean(self, keep: Iterable[str]) -> None:
        self.asked.append(f"clean {list(keep)}")

    def close(self) -> None:
        self.asked.append("close")


def test_each_run_is_with_its_own_engine_also_after_a_restart():
    local, argo = Noted(), Noted()
    both = engines.Engines({"local": local, "argo": argo}, {"a": "argo", "l": "local", "gone": "other"}.__getitem__)
    both.clean(iter(["a", "l"]))
    both.stop("a")
    both.pause("l")
    both.resume("a", ["s"])
    both.stop("gone")
    both.close()
    assert argo.asked == ["clean ['a', 'l']", "stop a", "resume a ['s']", "close"]
    assert local.asked == ["clean ['a', 'l']", "pause l", "stop gone", "close"]


def test_a_run_of_an_engine_that_is_gone_says_so(order):
    with pytest.raises(errors.WrongUse, match="“argo”, which is not there any more"):
        engines.Engines({"local": Noted()}, lambda run_id: "local").submit(order)


@pytest.fixture
def order():
    class Run:
        engine = "argo"

    class Order:
        run = Run()

    return Order()
