"""The index of runs: making, numbering and reading them."""

import math
from dataclasses import replace

import pytest

from fakes.record_values import a_plan, a_run, pending
from refmill import errors
from refmill.clients.database import Records
from refmill.model.people import Repository
from refmill.model.runs import StageRun, Usage
from refmill.texts import text


def test_runs_are_numbered_in_their_repository(records: Records, repository: Repository) -> None:
    other = records.catalogue.add("ann", "other")
    numbers = [records.runs.add(a_run(repository, f"r{count}"), a_plan(), []).number for count in range(3)]
    assert numbers == [1, 2, 3]
    assert records.runs.add(a_run(other, "o1"), a_plan(), []).number == 1
    assert records.runs.by_number(repository.id, 2).id == "r1"
    with pytest.raises(errors.NotFound):
        records.runs.by_number(repository.id, 4)
    with pytest.raises(errors.NotFound):
        records.runs.add(a_run(replace(repository, id="absent"), "x"), a_plan(), [])


def test_the_same_run_added_twice_is_one(records: Records, repository: Repository) -> None:
    first = records.runs.add(a_run(repository, "r1"), a_plan("a"), pending("a"))
    records.states.move("r1", "running", expected=["queued"])
    again = records.runs.add(a_run(repository, "r1", subject="other"), a_plan("a", "b"), pending("a", "b"))
    assert (again.number, again.status, again.subject) == (first.number, "running", "a change")
    assert [stage.address for stage in records.runs.stages("r1")] == ["a"]
    assert records.runs.add(a_run(repository, "r2"), a_plan(), []).number == 2


def test_a_run_comes_back_as_it_went_in(records: Records, repository: Repository) -> None:
    run = a_run(
        repository, "r1", parameters={"lr": 0.1, "deep": {"a": [1, None]}}, priority=5, attempt=2, engine="argo",
        explanation=text("waits for %(count)s objects", count=3), subject="ünïcode 提交", ref="refs/heads/\udcff",
        project="sub/dir",
    )  # fmt: skip
    added = records.runs.add(run, a_plan(), [])
    assert added == replace(run, number=1, repository="Ann/Demo") == records.runs.get("r1")


def test_a_run_follows_the_name_of_its_repository(records: Records, repository: Repository) -> None:
    records.runs.add(a_run(repository, "r1"), a_plan(), [])
    records.catalogue.change(replace(repository, name="show"))
    assert records.runs.get("r1").repository == "Ann/show"


def test_a_plan_comes_back_as_it_went_in(records: Records, repository: Repository) -> None:
    plan = a_plan("prepare", "train@a", "train@b")
    records.runs.add(a_run(repository, "r1"), plan, [])
    assert records.runs.plan("r1") == plan
    assert not records.runs.plan("r1").nothing
    records.waiting.replan("r1", a_plan("other"))
    assert records.runs.plan("r1") == a_plan("other")
    for missing in (lambda: records.runs.plan("x"), lambda: records.waiting.replan("x", plan)):
        with pytest.raises(errors.NotFound):
            missing()


def test_stages_stand_in_the_plans_order_with_their_latest_attempt(records: Records, repository: Repository) -> None:
    names = ["zoo", "ape", "Zoo", "dir/dvc.yaml:ape"]
    records.runs.add(a_run(repository, "r1"), a_plan(*names), pending(*names))
    done = StageRun(
        "ape", "failed", started=5, finished=9, seconds=4.25, exit_code=3,
        explanation=text("ended with %(code)s", code=3),
        entry={"cmd": "x", "params": {"p": {"nan": math.inf, 7: "seven"}}}, usage=Usage(1.5, 1 << 40, 12),
    )  # fmt: skip
    records.states.set_stage("r1", done)
    assert records.runs.stages("r1")[1] == done
    records.states.set_stage("r1", StageRun("ape", "running", attempt=2))
    assert [stage.address for stage in records.runs.stages("r1")] == names
    assert records.runs.stages("r1")[1] == StageRun("ape", "running", attempt=2)
    assert [(stage.address, stage.attempt) for stage in records.history.attempts("r1")] == [
        ("zoo", 1), ("ape", 1), ("ape", 2), ("Zoo", 1), ("dir/dvc.yaml:ape", 1),
    ]  # fmt: skip


def test_a_list_is_newest_first_filtered_and_paged(records: Records, repository: Repository) -> None:
    other = records.catalogue.add("ann", "other")
    for count in range(6):
        where = other if count == 4 else repository
        records.runs.add(a_run(where, f"r{count}", created=100 + count), a_plan(), [])
    records.states.move("r2", "running", expected=["queued"])

    def ids(**chosen: object) -> list[str]:
        return [run.id for run in records.runs.list([repository.id, other.id], **chosen)]  # type: ignore[arg-type]

    assert ids() == ["r5", "r4", "r3", "r2", "r1", "r0"]
    assert ids(limit=2) == ["r5", "r4"]
    assert ids(before=104, limit=2) == ["r3", "r2"]
    assert ids(statuses=["running", "failed"]) == ["r2"]
    for limit in (0, -1):
        with pytest.raises(errors.WrongUse):
            ids(limit=limit)
    assert [run.id for run in records.runs.list([other.id])] == ["r4"]
    assert records.runs.list([]) == []


def test_the_newest_run_of_a_repository_is_the_last_made_also_when_the_clock_was_set_back(
    records: Records, repository: Repository
) -> None:
    for name, created in (("first", 2_000), ("second", 1_000)):
        records.runs.add(a_run(repository, name, created=created), a_plan(), [])
    assert [run.id for run in records.runs.list([repository.id])] == ["second", "first"]


def test_an_ended_run_is_put_back_as_it_was_and_never_over_another(records: Records, repository: Repository) -> None:
    run = records.runs.add(a_run(repository, "r1"), a_plan("b", "a"), pending("b", "a"))
    records.states.set_stage("r1", StageRun("b", "failed", exit_code=1, explanation=text("it broke")))
    records.states.set_stage("r1", StageRun("b", "succeeded", 2, 1, 2, 0.5, 0, entry={"cmd": "x"}, environment="e"))
    records.states.set_experiment("r1", "run-1")
    records.states.move("r1", "succeeded", expected=("queued",))
    run, plan, attempts = records.runs.get("r1"), records.runs.plan("r1"), records.history.attempts("r1")
    assert not records.runs.restore(replace(run, status="failed"), plan, attempts)
    assert not records.runs.restore(replace(run, id="another"), plan, attempts)
    assert records.runs.get("r1") == run
    with records.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM runs")
        connection.exec_driver_sql("UPDATE repositories SET last_number = 0")
    assert records.runs.restore(run, plan, attempts)
    assert records.runs.get("r1") == run
    assert records.runs.plan("r1") == plan
    assert records.history.attempts("r1") == attempts
    assert [stage.address for stage in records.runs.stages("r1")] == ["b", "a"]
    assert records.runs.add(a_run(repository, "r2"), plan, []).number == 2
    assert records.runs.restore(replace(run, id="r9", number=9), plan, attempts)
    assert records.runs.add(a_run(repository, "r10"), plan, []).number == 10
    with pytest.raises(errors.NotFound):
        records.runs.restore(replace(run, id="r11", repository_id="elsewhere"), plan, attempts)
