"""Many writers at once, in threads and processes, and writers that are killed."""

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy

from database_servers import ONLY_SQLITE
from fakes.record_values import a_plan, a_run, pending
from refmill import errors
from refmill.clients.database import Records, open_records
from refmill.model.people import Repository
from refmill.texts import text

ADD = """
import sys
from database_servers import ONLY_SQLITE
from fakes.record_values import a_plan, a_run, pending
from refmill.clients.database import open_records
records = open_records(sys.argv[1])
repository = records.catalogue.get(sys.argv[2])
for count in range(int(sys.argv[4])):
    added = records.runs.add(a_run(repository, f"{sys.argv[3]}-{count}"), a_plan("a"), pending("a"))
    print(added.number, added.id, flush=True)
"""


def start_adding(url: str, repository: Repository, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", ADD, url, repository.id, name, str(count)],
        env={"PYTHONPATH": ":".join(sys.path)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_numbers_are_given_once_and_without_gaps(records: Records, repository: Repository, url: str) -> None:
    others = [start_adding(url, repository, f"p{count}", 15) for count in range(2)]
    with ThreadPoolExecutor(6) as pool:
        mine = list(
            pool.map(lambda count: records.runs.add(a_run(repository, f"t{count}"), a_plan(), []).number, range(30))
        )
    numbers = mine + [int(line.split()[0]) for process in others for line in process.communicate()[0].splitlines()]
    assert sorted(numbers) == list(range(1, 61))


def test_one_of_many_claims_wins(records: Records, repository: Repository) -> None:
    records.runs.add(a_run(repository, "r1"), a_plan(), [])
    start = threading.Barrier(8)

    def claim(_: int) -> bool:
        start.wait()
        return records.states.move("r1", "running", expected=["queued"])

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(claim, range(8))) == [False] * 7 + [True]


def test_what_was_told_as_done_survives_a_kill(records: Records, repository: Repository, url: str) -> None:
    process = start_adding(url, repository, "p", 100_000)
    assert process.stdout
    told = [process.stdout.readline() for _ in range(20)]
    process.send_signal(signal.SIGKILL)
    told += process.communicate()[0].splitlines(keepends=True)
    told = [line for line in told if line.endswith("\n")]
    again = open_records(url)
    for line in told:
        number, name = line.split()
        assert again.runs.by_number(repository.id, int(number)).id == name
        assert again.runs.plan(name) == a_plan("a")
        assert list(again.runs.stages(name)) == pending("a")
    # At most the one that was being inserted is there besides, and then it is whole.
    known = again.runs.list([repository.id], limit=1000)
    assert len(told) <= len(known) <= len(told) + 1
    assert again.runs.add(a_run(repository, "after"), a_plan(), []).number == len(known) + 1
    again.close()


def test_a_reader_is_not_kept_waiting_by_a_writer(records: Records, repository: Repository) -> None:
    with records.database.writing() as connection:
        connection.exec_driver_sql("UPDATE repositories SET description = 'half done'")
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(records.catalogue.get, repository.id).result(timeout=60) == repository
    assert records.catalogue.get(repository.id).description == "half done"


def test_a_failed_transaction_leaves_nothing(records: Records, repository: Repository) -> None:
    def half() -> None:
        with records.database.writing() as connection:
            connection.exec_driver_sql("UPDATE repositories SET description = 'half done'")
            raise errors.Conflict(text("no"))

    with pytest.raises(errors.Conflict):
        half()
    assert records.catalogue.get(repository.id) == repository


def test_a_database_that_stays_locked_is_unavailable(
    records: Records, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refmill.clients.database.connection.BUSY_SECONDS", 0.1)
    other = open_records(url)
    with records.database.writing(), pytest.raises(errors.Unavailable, match=r"[Ll]ock"):
        other.people.add("bob", None)
    assert other.people.add("bob", None)
    other.close()


@ONLY_SQLITE
def test_every_commit_waits_for_the_disk(records: Records) -> None:
    for opened in (records.database.reading, records.database.writing):
        with opened() as connection:
            settings = {
                name: connection.execute(sqlalchemy.text(f"PRAGMA {name}")).scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            }
        assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
