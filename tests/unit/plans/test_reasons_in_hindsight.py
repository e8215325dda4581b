"""What a plan had to leave open is told as soon as the stages above have ended, and not before."""

from dataclasses import replace

import pytest

from refmill.model.pipelines import Dependency, LockEntry, Output, ParamsDependency, Pipeline, Stage
from refmill.model.plans import Reason, StagePlan
from refmill.model.runs import StageRun
from refmill.plans import hindsight
from refmill.texts import text

ABOVE = Stage("above", "dvc.yaml", "", "make", outs=(Output("a.txt", "a.txt"), Output("folder", "folder")))
BELOW = Stage(
    "below", "dvc.yaml", "", "use", deps=(Dependency("a.txt", "a.txt"), Dependency("in.txt", "in.txt")),
    params=(ParamsDependency("params.yaml", "params.yaml", ("k",)),), outs=(Output("b.txt", "b.txt"),),
)  # fmt: skip
WAITS = Reason("upstream", text("its inputs are made by %(stages)s in this run", stages="above"))


def md5(letter: str) -> str:
    return letter * 32


def dep(path: str, letter: str) -> dict[str, str]:
    return {"path": path, "hash": "md5", "md5": md5(letter)}


def entry(a: str, b: str, k: int = 1) -> LockEntry:
    return {
        "cmd": "use", "deps": [dep("a.txt", a), dep("in.txt", "1")], "params": {"params.yaml": {"k": k}},
        "outs": [dep("b.txt", b)],
    }  # fmt: skip


KNOWN: LockEntry = {"cmd": "use", "deps": [dep("in.txt", "1")], "params": {"params.yaml": {"k": 1}}}
MADE = StageRun("above", "succeeded", entry={"cmd": "make", "outs": [dep("a.txt", "b"), dep("folder", "f")]})
PLAN = StagePlan(BELOW, "later", (WAITS,), KNOWN, ("above", "in.txt.dvc"))


def told(
    mine: StageRun, above: StageRun = MADE, *, plan: StagePlan = PLAN, lock: LockEntry | None = None,
    earlier: LockEntry | None = None,
) -> list[str]:  # fmt: skip
    pipeline = Pipeline({"above": ABOVE, "below": BELOW}, lock={"below": lock} if lock else {})
    course = {"above": above, "below": mine}
    return [str(reason.message) for reason in hindsight.reasons(plan, pipeline, course, earlier)]


def test_a_stage_that_ran_tells_what_became_another_than_before() -> None:
    ran = StageRun("below", "succeeded", entry=entry("b", "d"))
    assert told(ran, lock=entry("a", "c")) == ["a.txt changed: aaaaaaa → bbbbbbb"]
    assert told(ran, earlier=entry("a", "c", k=0)) == ["params.yaml: k 0 → 1", "a.txt changed: aaaaaaa → bbbbbbb"]
    assert told(ran) == ["it has not run before"]
    assert told(ran, lock={**entry("b", "c"), "cmd": "old"}) == ["its command changed: old → use"]


@pytest.mark.parametrize("status", ["running", "failed"])
def test_a_stage_without_a_result_is_compared_by_what_the_stages_above_made(status: str) -> None:
    assert told(StageRun("below", status), lock=entry("a", "c")) == ["a.txt changed: aaaaaaa → bbbbbbb"]


def test_nothing_is_told_before_it_is_known() -> None:
    waiting = StageRun("below", "pending")
    assert told(waiting, StageRun("above", "running"), lock=entry("a", "c")) == [str(WAITS.message)]
    assert told(waiting, StageRun("above", "failed"), lock=entry("a", "c")) == [str(WAITS.message)]
    assert told(waiting, lock=entry("b", "c")) == [str(WAITS.message)], "it may come from the cache"
    inside = replace(BELOW, deps=(Dependency("folder/x", "folder/x"),))
    lock = {"cmd": "use", "deps": [dep("folder/x", "a")], "params": KNOWN["params"], "outs": [dep("b.txt", "c")]}
    known = {"cmd": "use", "params": KNOWN["params"]}
    plan = replace(PLAN, stage=inside, entry=known)
    assert told(StageRun("below", "running"), plan=plan, lock=lock) == [str(WAITS.message)]


def test_a_stage_that_was_cached_after_all_tells_why() -> None:
    cached = StageRun("below", "cached", entry=entry("b", "d"))
    assert told(cached, lock=entry("b", "d")) == ["nothing it depends on changed"]
    known = "an earlier run with the same inputs gave this result"
    assert told(cached, lock=entry("a", "c")) == [known, "a.txt changed: aaaaaaa → bbbbbbb"]
    assert told(cached) == [known]
    noted = replace(
        cached, explanation=text("its environment changed since the recorded result: %(parts)s", parts="env")
    )
    assert told(noted, lock=entry("b", "d"))[0] == "its environment changed since the recorded result: env"


def test_a_stage_that_ran_although_nothing_changed_says_so() -> None:
    ran = StageRun("below", "succeeded", entry=entry("b", "c"))
    assert told(ran, lock=entry("b", "c")) == [
        "nothing it reads changed, but its recorded result could not be taken over"
    ]
    assert told(ran, earlier=entry("b", "c")) == ["dvc.lock has no result of it"]


def test_what_somebody_asked_for_and_what_was_planned_stays() -> None:
    ran = StageRun("below", "succeeded", entry=entry("b", "d"))
    asked = replace(PLAN, reasons=(WAITS, Reason("forced", text("it was asked for"))))
    assert told(ran, plan=asked, lock=entry("a", "c")) == ["it was asked for"]
    planned = replace(PLAN, verdict="run", reasons=(Reason("new", text("it has not run before")),))
    assert told(ran, plan=planned, lock=entry("a", "c")) == ["it has not run before"]
