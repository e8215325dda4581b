"""Runs that wait for data say what the remotes answered, and ask again after a while or once a secret was set."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.record_values import Clock, Watch, a_plan, a_run
from refmill.clients.bell import NullBell
from refmill.clients.catalogues import translate
from refmill.clients.database import Records, open_records, sqlite_url
from refmill.flows.lacking import FIRST_PAUSE, LONGEST_PAUSE, TELL_SECONDS, Lacking
from refmill.model.people import Repository
from refmill.texts import text

ONE, TWO = "1" * 32, "2" * 32
WHY = text("%(where)s answered: %(detail)s", where="s3://theirs", detail="AccessDenied")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def records(tmp_path: Path, clock: Clock) -> Iterator[Records]:
    opened = open_records(sqlite_url(tmp_path / "refmill.db"), clock=clock, key_file=tmp_path / "key")
    yield opened
    opened.close()


@pytest.fixture
def repository(records: Records) -> Repository:
    records.people.add("Ann", None)
    return records.catalogue.add("Ann", "Demo")


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def lacking(records: Records, watch: Watch) -> Lacking:
    return Lacking(records.waiting, records.runs, records.states, records.secrets, NullBell(), clock=watch)


def waits(records: Records, repository: Repository, name: str, *md5s: str) -> None:
    records.runs.add(a_run(repository, name), a_plan(), [])
    records.waiting.wait_for(name, md5s)


def test_every_run_that_waits_for_an_object_says_why_it_did_not_come(
    records: Records, repository: Repository, lacking: Lacking
) -> None:
    waits(records, repository, "r1", ONE, TWO)
    waits(records, repository, "r2", ONE)
    waits(records, repository, "r3", TWO)
    lacking.failed(repository.id, ONE, WHY)
    said = [str(records.runs.get(name).explanation) for name in ("r1", "r2", "r3")]
    assert said == [
        "waits for data: 2 objects are missing; looked for in vain: s3://theirs answered: AccessDenied",
        "waits for data: 1 object is missing; looked for in vain: s3://theirs answered: AccessDenied",
        "None",
    ]
    explanation = records.runs.get("r1").explanation
    assert explanation
    assert "s3://theirs 答复" in explanation.to(translate("zh"))
    assert [records.runs.get(name).status for name in ("r1", "r2")] == ["queued", "queued"]


def test_a_run_that_does_not_wait_any_more_is_left_alone(
    records: Records, repository: Repository, lacking: Lacking, watch: Watch
) -> None:
    waits(records, repository, "r1", ONE)
    waits(records, repository, "r2", ONE)
    records.states.move("r1", "paused", expected=("queued",))
    lacking.failed(repository.id, ONE, WHY)
    assert records.runs.get("r1").explanation is None
    records.waiting.arrived(repository.id, [ONE])
    lacking.failed(repository.id, ONE, text("another"))
    assert "another" not in str(records.runs.get("r2").explanation)
    watch.seconds = FIRST_PAUSE
    assert lacking.due() == []


def test_of_many_failures_at_once_one_is_told(
    records: Records, repository: Repository, lacking: Lacking, watch: Watch
) -> None:
    waits(records, repository, "r1", ONE, TWO)
    for number in range(3):
        lacking.failed(repository.id, ONE, text("failure %(number)s", number=number))
    assert "failure 0" in str(records.runs.get("r1").explanation)
    watch.seconds = TELL_SECONDS
    lacking.failed(repository.id, TWO, text("failure %(number)s", number=3))
    assert "failure 3" in str(records.runs.get("r1").explanation)


def test_remotes_are_asked_again_at_a_slower_and_slower_pace(
    records: Records, repository: Repository, lacking: Lacking, watch: Watch
) -> None:
    waits(records, repository, "r1", ONE)
    lacking.failed(repository.id, ONE, WHY)
    pauses = []
    for _ in range(10):
        began = watch.seconds
        while not lacking.due():
            watch.seconds += 10
        lacking.failed(repository.id, ONE, WHY)
        pauses.append(watch.seconds - began)
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE


def test_remotes_are_asked_again_as_soon_as_a_secret_is_set(
    records: Records, repository: Repository, lacking: Lacking
) -> None:
    records.secrets.set(repository.id, "OLD", "value", "Ann")
    waits(records, repository, "r1", ONE)
    lacking.failed(repository.id, ONE, WHY)
    assert lacking.due() == []
    records.secrets.set(repository.id, "AWS_ACCESS_KEY_ID", "value", "Ann")
    assert lacking.due() == ["r1"]
    assert lacking.due() == []
