"""What pages and estimates ask of many runs, and the journal."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from fakes.record_values import a_plan, a_run, pending
from refmill.clients.database import Records
from refmill.model.people import Repository
from refmill.model.runs import Made, Run, StageRun


def finished(records: Records, repository: Repository, name: str, seconds: float, **values: object) -> Run:
    run = records.runs.add(a_run(repository, name, **values), a_plan("train"), pending("train"))
    records.states.move(name, "running", expected=["queued"])
    records.states.set_stage(name, StageRun("train", "succeeded", seconds=seconds))
    records.states.move(name, "succeeded", expected=["running"])
    return run


def test_counts_and_last_runs_of_many_repositories(records: Records, repository: Repository) -> None:
    other, empty = records.catalogue.add("ann", "other"), records.catalogue.add("ann", "empty")
    for count in range(3):
        finished(records, repository, f"r{count}", 1.0)
    records.runs.add(a_run(other, "o1"), a_plan(), [])
    everywhere = [repository.id, other.id, empty.id]
    assert records.history.counts(everywhere) == {"succeeded": 3, "queued": 1}
    assert records.history.counts([other.id]) == {"queued": 1}
    assert {key: run.id for key, run in records.history.last(everywhere).items()} == {
        repository.id: "r2",
        other.id: "o1",
    }
    assert records.history.last([]) == {}


def test_the_run_to_compare_with_is_the_last_success_of_that_ref(records: Records, repository: Repository) -> None:
    finished(records, repository, "r1", 1.0)
    finished(records, repository, "r2", 1.0, ref="refs/heads/other")
    finished(records, repository, "r3", 1.0, project="sub")
    records.runs.add(a_run(repository, "r4"), a_plan(), [])
    this = records.runs.add(a_run(repository, "r5"), a_plan(), [])
    finished(records, repository, "r6", 1.0)
    previous = records.history.previous(this)
    assert previous
    assert previous.id == "r1"
    assert records.history.previous(records.runs.get("r1")) is None
    assert records.history.previous(replace(this, ref="refs/heads/Main")) is None


def test_the_stages_of_many_runs(records: Records, repository: Repository) -> None:
    for name in ("r1", "r2"):
        records.runs.add(a_run(repository, name), a_plan("b", "a"), pending("b", "a"))
    records.states.set_stage("r2", StageRun("b", "running", attempt=2))
    found = records.history.stages_of(["r1", "r2", "absent"])
    assert found == {name: records.runs.stages(name) for name in ("r1", "r2")}
    assert [stage.status for stage in found["r2"]] == ["running", "pending"]


def test_an_estimate_is_the_median_of_the_last_five_successes(records: Records, repository: Repository) -> None:
    for count, seconds in enumerate([900.0, 900.0, 5.0, 1.0, 4.0, 2.0, 3.0]):
        finished(records, repository, f"r{count}", seconds)
    records.runs.add(a_run(repository, "failed"), a_plan("train"), pending("train"))
    records.states.move("failed", "running", expected=["queued"])
    records.states.set_stage("failed", StageRun("train", "failed", seconds=0.1))
    assert records.history.typical_seconds(repository.id, ["train", "never"]) == {"train": 3.0}
    assert records.history.typical_seconds(repository.id, []) == {}
    assert records.history.typical_seconds("elsewhere", ["train"]) == {}


def test_results_are_found_by_their_inputs_with_the_environment_they_were_made_in(
    records: Records, repository: Repository
) -> None:
    def result(name: str, out: str, environment: str, cmd: str = "train", status: str = "succeeded") -> dict[str, Any]:
        entry = {"cmd": cmd, "deps": [{"path": "a", "md5": "1" * 32}], "outs": [{"path": "m", "md5": out * 32}]}
        records.runs.add(a_run(records.catalogue.get(repository.id), name), a_plan("train"), pending("train"))
        state = StageRun("train", status, entry=entry, environment=environment)  # type: ignore[arg-type]
        records.states.set_stage(name, state)
        assert records.runs.stages(name)[0].environment == environment
        return entry

    first, second = result("r1", "a", "e1"), result("r2", "b", "e2")
    result("unknown", "c", "")
    result("elsewhere", "d", "e1", cmd="other")
    result("broken", "e", "e1", status="failed")
    dated = {"cmd": "train", "params": {"p.yaml": {"day": dt.date(2026, 1, 31)}}}
    sized = {**first, "deps": [{"path": "a", "md5": "1" * 32, "size": 7}], "outs": [{"path": "m"}]}
    made = [Made(first, "e1"), Made(second, "e2")]
    assert records.history.made(repository.id, [first, dated, sized, {}]) == [made, [], made, []]
    assert records.history.made("another", [first]) == [[]]
    assert records.history.made(repository.id, []) == []


def test_the_journal_keeps_what_happened_newest_first(records: Records) -> None:
    records.journal.note("Ann", "token-added", "Ann/laptop", scopes=["read"], until=dt.date(2026, 1, 31))
    records.journal.note("", "started", "platform")
    records.journal.note("Ann", "token-revoked", "Ann/laptop")
    notes = records.journal.notes()
    assert [note.what for note in notes] == ["token-revoked", "started", "token-added"]
    assert notes[2].details == {"scopes": ["read"], "until": dt.date(2026, 1, 31)}
    assert [note.what for note in records.journal.notes(subject="Ann/laptop", limit=1)] == ["token-revoked"]
    assert [note.what for note in records.journal.notes(before=notes[1].id)] == ["token-added"]


@pytest.mark.parametrize("subject", ["x" * 1000, "nul\0", "\ud800"])
def test_the_journal_takes_any_subject(records: Records, subject: str) -> None:
    records.journal.note("Ann", "odd", subject)
    assert len(records.journal.notes()) == 1
