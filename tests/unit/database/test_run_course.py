"""Runs and stages as they go along, wishes, and runs that wait for data."""

import pytest
from sqlalchemy import event

from database_servers import ONLY_SQLITE
from fakes.record_values import Clock, a_plan, a_run, pending
from refmill import errors
from refmill.clients.database import Records, open_records
from refmill.model.people import Repository
from refmill.model.runs import Run, StageRun
from refmill.texts import text


@pytest.fixture
def run(records: Records, repository: Repository) -> Run:
    return records.runs.add(a_run(repository, "r1"), a_plan("a", "b"), pending("a", "b"))


def test_a_run_moves_only_from_where_it_is_expected(records: Records, run: Run) -> None:
    assert records.states.move(run.id, "running", expected=["queued", "paused"])
    assert not records.states.move(run.id, "running", expected=["queued", "paused"])
    assert not records.states.move("absent", "running", expected=["queued"])
    assert not records.states.move(run.id, "failed", expected=[])
    assert records.runs.get(run.id).status == "running"


def test_times_tell_when_a_run_first_started_and_last_ended(records: Records, run: Run) -> None:
    records.states.move(run.id, "running", expected=["queued"])
    started = records.runs.get(run.id).started
    assert started
    records.states.move(run.id, "paused", expected=["running"], explanation=text("paused by %(user)s", user="Ann"))
    assert str(records.runs.get(run.id).explanation) == "paused by Ann"
    records.states.move(run.id, "running", expected=["paused"])
    now = records.runs.get(run.id)
    assert (now.started, now.finished, now.explanation) == (started, None, None)
    records.states.move(run.id, "failed", expected=["running"])
    assert (records.runs.get(run.id).finished or 0) > started
    records.states.move(run.id, "running", expected=["failed"])
    assert records.runs.get(run.id).finished is None


def test_a_run_lasts_as_long_as_it_lasts_whatever_is_done_to_the_clock(url: str, clock: Clock) -> None:
    passed = 0.0
    records = open_records(url, clock=clock, steady=lambda: passed)
    repository = records.catalogue.add(records.people.add("Bob", None).name, "Demo")
    for name, ahead in (("forward", 7200), ("back", -86400)):
        run = records.runs.add(a_run(repository, name), a_plan("a"), pending("a"))
        records.states.set_stages(run.id, [StageRun("a", "running", started=clock())])
        clock.pass_seconds(ahead)
        passed += 5.0
        end = records.states.end_of(records.runs.get(run.id))
        passed += 1.0
        records.states.move(run.id, "succeeded", expected=["running"], finished=end)
        found = records.runs.get(run.id)
        assert (found.finished or 0) - (found.started or 0) == 5_000_000
    run = records.runs.add(a_run(repository, "untold"), a_plan("a"), pending("a"))
    records.states.set_stages(run.id, [StageRun("a", "running", started=clock())])
    clock.pass_seconds(3600)
    passed += 7.0
    records.states.move(run.id, "failed", expected=["running"])
    found = records.runs.get(run.id)
    assert (found.finished or 0) - (found.started or 0) == 7_000_000
    begun_elsewhere = records.runs.add(a_run(repository, "elsewhere", started=clock()), a_plan("a"), pending("a"))
    clock.pass_seconds(-60)
    records.states.move(begun_elsewhere.id, "stopped", expected=["queued"])
    found = records.runs.get(begun_elsewhere.id)
    assert found.finished == found.started
    records.close()


def test_a_stage_changes_only_from_where_it_is_expected(records: Records, run: Run) -> None:
    assert records.states.set_stage(run.id, StageRun("a", "running"), expected=["pending", "queued"])
    assert not records.states.set_stage(run.id, StageRun("a", "running"), expected=["pending", "queued"])
    assert records.states.set_stage(run.id, StageRun("a", "running", attempt=2), expected=["running"])
    # What is asked about is the latest attempt, not the one that is written.
    records.states.set_stage(run.id, StageRun("a", "failed", attempt=1))
    assert not records.states.set_stage(run.id, StageRun("a", "stopped", attempt=1), expected=["failed"])
    assert not records.states.set_stage(run.id, StageRun("new", "queued"), expected=["pending"])
    assert [stage.status for stage in records.runs.stages(run.id)] == ["running", "pending"]


def test_a_late_word_of_an_old_attempt_does_not_hide_the_new_one(records: Records, run: Run) -> None:
    records.states.set_stage(run.id, StageRun("a", "running", attempt=2))
    records.states.set_stage(run.id, StageRun("a", "failed", attempt=1))
    assert records.runs.stages(run.id)[0] == StageRun("a", "running", attempt=2)


def test_a_stage_that_no_plan_named_comes_last(records: Records, run: Run) -> None:
    records.states.set_stage(run.id, StageRun("0", "queued"))
    assert [stage.address for stage in records.runs.stages(run.id)] == ["a", "b", "0"]
    with pytest.raises(errors.NotFound):
        records.states.set_stage("absent", StageRun("a", "queued"))


def test_wishes_are_kept_once_and_in_order_until_granted(records: Records, repository: Repository, run: Run) -> None:
    second = records.runs.add(a_run(repository, "r2"), a_plan(), [])
    for run_id, wish in ((run.id, "pause"), (second.id, "stop"), (run.id, "stop"), (run.id, "pause")):
        records.states.ask(run_id, wish)
    assert records.states.wishes() == [(run.id, "pause"), (second.id, "stop"), (run.id, "stop")]
    records.states.grant(run.id, "pause")
    records.states.grant(run.id, "pause")
    assert records.states.wishes() == [(second.id, "stop"), (run.id, "stop")]
    with pytest.raises(errors.NotFound):
        records.states.ask("absent", "stop")


def test_the_experiment_is_noted(records: Records, run: Run) -> None:
    records.states.set_experiment(run.id, "run-1")
    assert records.runs.get(run.id).experiment == "run-1"


def test_the_last_missing_object_tells_which_runs_can_start(records: Records, repository: Repository, run: Run) -> None:
    one, two = "1" * 32, "2" * 32 + ".dir"
    second = records.runs.add(a_run(repository, "r2"), a_plan(), [])
    records.waiting.wait_for(run.id, [one, two, one])
    records.waiting.wait_for(second.id, [one])
    assert records.waiting.missing(run.id) == {one, two}
    assert records.waiting.arrived(repository.id, ["9" * 32]) == []
    assert records.waiting.arrived("elsewhere", [one]) == []
    assert records.waiting.arrived(repository.id, [one]) == [second.id]
    assert records.waiting.arrived(repository.id, [one]) == []
    assert records.waiting.arrived(repository.id, [two]) == [run.id]
    # They stay listed, so that a crash between arrival and start loses none.
    assert records.waiting.ready() == [run.id, second.id]
    records.waiting.done(run.id)
    assert records.waiting.ready() == [second.id]


def test_waiting_again_replaces_what_was_missing(records: Records, repository: Repository, run: Run) -> None:
    records.waiting.wait_for(run.id, ["1" * 32])
    records.waiting.wait_for(run.id, ["2" * 32])
    assert records.waiting.arrived(repository.id, ["1" * 32]) == []
    assert records.waiting.missing(run.id) == {"2" * 32}
    records.waiting.wait_for(run.id, [])
    assert records.waiting.ready() == [run.id]
    with pytest.raises(errors.NotFound):
        records.waiting.wait_for("absent", ["1" * 32])


@ONLY_SQLITE  # elsewhere the driver begins transactions, without a statement that could be counted
def test_many_states_are_one_transaction_with_the_same_statements_however_many_they_are(
    records: Records, run: Run
) -> None:
    said: list[str] = []
    event.listen(records.database.engine, "before_cursor_execute", lambda *seen: said.append(seen[2].split()[0]))
    records.states.set_stages(run.id, [StageRun("a", "queued"), StageRun("b", "queued")])
    few = list(said)
    assert records.states.move(run.id, "queued", expected=["queued"], explanation=text("waits for data"))
    assert few.count("BEGIN") == 1
    said.clear()
    states = [StageRun(name, status, started=1) for name in "ab" for status in ("running", "succeeded")]
    records.states.set_stages(run.id, states)
    assert said.count("BEGIN") == 1
    assert said.count("UPDATE") == 2, "one for the run, which is running now, and one for all stages"
    assert [stage.status for stage in records.runs.stages(run.id)] == ["succeeded", "succeeded"]
    now = records.runs.get(run.id)
    assert (now.status, now.explanation, bool(now.started)) == ("running", None, True)


def test_states_told_together_may_be_of_new_attempts_and_of_stages_that_no_plan_named(
    records: Records, run: Run
) -> None:
    states = [StageRun("a", "failed"), StageRun("a", "running", 2, started=1), StageRun("0", "queued")]
    records.states.set_stages(run.id, states)
    assert [(stage.address, stage.status, stage.attempt) for stage in records.runs.stages(run.id)] == [
        ("a", "running", 2), ("b", "pending", 1), ("0", "queued", 1),
    ]  # fmt: skip
    assert [stage.status for stage in records.history.attempts(run.id)] == ["failed", "running", "pending", "queued"]


def test_states_told_together_are_stored_only_where_each_stage_stands_as_expected(records: Records, run: Run) -> None:
    lost = [StageRun("a", "failed"), StageRun("a", "queued", 2)]
    assert not records.states.set_stages(run.id, lost, expected={"a": (1, {"running"})})
    assert not records.states.set_stages(run.id, lost, expected={"a": (2, {"pending"})})
    assert not records.states.set_stages(run.id, lost, expected={"a": (1, {"pending"}), "absent": (1, {"pending"})})
    assert [stage.status for stage in records.history.attempts(run.id)] == ["pending", "pending"]
    assert records.states.set_stages(run.id, lost, expected={"a": (1, {"pending", "running"})})
    assert not records.states.set_stages(run.id, lost, expected={"a": (1, {"pending", "running"})})
    assert [stage.status for stage in records.history.attempts(run.id)] == ["failed", "queued", "pending"]


def test_the_states_of_a_run_that_is_gone_are_refused(records: Records) -> None:
    with pytest.raises(errors.NotFound):
        records.states.set_stages("absent", [StageRun("a", "running", started=1)])
