"""What whoever watches the platform asks, and that it costs the same however much has ended."""

import pytest
import sqlalchemy

from fakes.record_values import Clock, a_plan, a_run, pending
from refmill.clients.database import Records, open_records, overview, sqlite_url
from refmill.model.people import Repository
from refmill.model.pushes import ZERO, RefUpdate
from refmill.model.runs import StageRun


def test_an_empty_platform_stands_at_nothing(records: Records) -> None:
    found = records.overview.standing()
    assert (found.runs, found.stages, found.events) == ({}, {}, {})
    assert (found.lacking, found.queued, found.landed, found.repositories, found.users) == (0, None, None, 0, 0)


def test_runs_that_have_not_ended_are_counted_by_status_and_engine(records: Records, repository: Repository) -> None:
    for name, engine in (("r1", "local"), ("r2", "local"), ("r3", "argo"), ("r4", "local"), ("r5", "local")):
        records.runs.add(a_run(repository, name, engine=engine, created=int(name[1:])), a_plan("a"), pending("a"))
    records.states.move("r1", "running", expected=("queued",))
    records.states.move("r4", "succeeded", expected=("queued",))
    records.waiting.wait_for("r2", ["0" * 32])
    found = records.overview.standing()
    assert found.runs == {("running", "local"): 1, ("queued", "local"): 2, ("queued", "argo"): 1}
    assert (found.lacking, found.queued) == (1, 3), "the oldest waits for data, which is nobody's queue"
    records.waiting.done("r2")
    assert records.overview.standing().queued == 2
    assert (found.repositories, found.users) == (1, 1)


def test_stages_of_runs_that_have_begun_are_counted_by_their_latest_attempt(
    records: Records, repository: Repository
) -> None:
    records.runs.add(a_run(repository, "r1"), a_plan("a", "b", "c"), pending("a", "b", "c"))
    records.runs.add(a_run(repository, "r2"), a_plan("a"), pending("a"))
    assert records.overview.standing().stages == {}
    records.states.set_stage("r1", StageRun("a", "failed", attempt=1))
    records.states.set_stages("r1", [StageRun("a", "running", attempt=2, started=7), StageRun("b", "queued")])
    assert records.overview.standing().stages == {"running": 1, "queued": 1, "pending": 1}
    records.states.move("r1", "stopped", expected=("running",))
    assert records.overview.standing().stages == {}


def test_pushes_are_counted_until_they_are_planned(records: Records, repository: Repository, clock: Clock) -> None:
    def push(name: str) -> int:
        (event,) = records.inbox.announce(repository.id, "ann", [RefUpdate(f"refs/heads/{name}", ZERO, "c" * 40)], [])
        return event.id

    first, second, third = push("a"), push("b"), push("c")
    records.inbox.land([second, third])
    made = records.inbox.get(second).created
    found = records.overview.standing()
    assert (found.events, found.landed) == ({"announced": 1, "landed": 2}, made)
    for event in (first, second, third):
        records.inbox.settle(event, handled=True)
    found = records.overview.standing()
    assert (found.events, found.landed) == ({}, None)


@pytest.mark.parametrize("query", [overview.RUNS, overview.STAGES, overview.EVENTS], ids=["runs", "stages", "events"])
def test_no_table_of_what_has_ended_is_read_through(tmp_path, query: sqlalchemy.Select) -> None:
    records = open_records(sqlite_url(tmp_path / "refmill.db"))
    words = str(query.compile(records.database.engine, compile_kwargs={"literal_binds": True}))
    with records.database.reading() as connection:
        plan = [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {words}")]
    records.close()
    assert any("USING INDEX ix_runs_status" in step or "USING INDEX ix_events_state" in step for step in plan), plan
    assert [step for step in plan if step.startswith("SCAN")] == []
