"""Which of several servers may write, in real databases: one at a time, and none after its time."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event

from database_servers import KINDS, DatabaseServer, database_server
from refmill import errors
from refmill.clients.database import Candidate, Leases, Records, open_records
from refmill.clients.database.connection import Database
from refmill.model.fences import Fence

SECONDS = 15.0


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, database_servers: Callable[[str], DatabaseServer]) -> str:
    """A database of the test's own; with SQLite there is no such row."""
    server = database_servers(request.param)
    return server.url(server.database())


def yes() -> bool:
    """The locks of the data directory could be taken."""
    return True


def no() -> bool:
    """They could not."""
    return False


class Steady:
    """A clock that is only counted."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def leases(url: str) -> Iterator[Leases]:
    found = Leases(url, patience=5)
    yield found
    found.close()


@pytest.fixture
def steady() -> Steady:
    return Steady()


@pytest.fixture
def candidate(leases: Leases, steady: Steady) -> Callable[..., Candidate]:
    def make(holder: str, *, mark: str = "", seconds: float = SECONDS, waits: bool = True) -> Candidate:
        return Candidate(
            leases, holder=holder, mark=mark or f"at {holder}", seconds=seconds, waits=waits, steady=steady
        )

    return make


def test_of_many_who_make_the_row_and_want_it_one_has_it(url: str) -> None:
    start = threading.Barrier(6)

    def want(number: int) -> int:
        own = Leases(url, patience=5)
        start.wait(60)
        one = Candidate(own, holder=f"h{number}", mark="", seconds=SECONDS, waits=True, steady=lambda: 0.0)
        try:
            return one.tried(yes)
        finally:
            own.close()

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(want, range(6))) == [0] * 5 + [1]


def test_what_is_renewed_stays_and_what_is_not_is_taken_after_its_time(
    leases: Leases, candidate: Callable[..., Candidate], steady: Steady
) -> None:
    assert candidate("one").tried(yes) == 1
    two = candidate("two", seconds=3.0)
    assert not two.tried(yes)
    for _ in range(5):
        steady.time += SECONDS - 1
        assert leases.renew(1)
        assert not two.tried(yes)
    steady.time += SECONDS - 1
    assert not two.tried(yes)
    steady.time += 1  # the length of the one who has it counts, not one's own
    assert two.tried(no) == 2
    assert not leases.renew(1)
    assert not leases.holds(1)
    assert leases.renew(2)


def test_who_looked_away_for_long_takes_nothing_that_was_renewed_meanwhile(
    leases: Leases, candidate: Callable[..., Candidate], steady: Steady
) -> None:
    candidate("one").tried(yes)
    two = candidate("two")
    assert not two.tried(yes)
    seen = two.seen
    steady.time += 1000
    assert leases.renew(1)
    assert not two.tried(yes)  # its time begins anew
    assert seen
    assert not leases.take(seen, holder="two", mark="", seconds=1)


def test_what_was_given_back_is_taken_at_once_but_not_before_the_locks_are_free(
    leases: Leases, candidate: Callable[..., Candidate]
) -> None:
    candidate("one").tried(yes)
    leases.release(1)
    two = candidate("two")
    assert not two.tried(no)  # the one that has them may know of no lease
    assert two.tried(yes) == 2
    leases.release(1)  # somebody else's by now
    assert leases.look().holder == "two"


def test_an_epoch_that_a_database_gave_twice_after_it_was_set_back_is_that_of_the_later_one(
    url: str, leases: Leases, candidate: Callable[..., Candidate], steady: Steady
) -> None:
    before = leases.look()
    candidate("one").tried(yes)
    other = Leases(url, patience=5)
    with other._database.beside() as connection:  # what a replica that lags behind says when it takes over
        connection.exec_driver_sql(
            f"UPDATE refmill_lease SET holder = '', epoch = {before.epoch}, beat = {before.beat}"
        )
    assert other.take(other.look(), holder="two", mark="", seconds=SECONDS) == 1
    assert not leases.renew(1)
    assert not leases.holds(1)
    leases.release(1)
    assert other.renew(1)
    other.close()


def test_one_whose_locks_are_free_on_its_own_machine_is_dead(candidate: Callable[..., Candidate]) -> None:
    candidate("one", mark="here").tried(yes)
    again = candidate("again", mark="here")
    assert not again.tried(no)
    assert again.tried(yes) == 2


def test_one_that_took_over_without_the_locks_is_not_dead_when_somebody_has_them(
    candidate: Callable[..., Candidate], steady: Steady
) -> None:
    candidate("stopped", mark="here").tried(yes)
    two = candidate("two", mark="here")
    assert not two.tried(no)
    steady.time += SECONDS
    assert two.tried(no) == 2
    assert not candidate("three", mark="here").tried(yes)


def test_one_without_end_gives_way_to_its_like_and_not_to_a_standby(
    leases: Leases, candidate: Callable[..., Candidate], steady: Steady
) -> None:
    assert candidate("one", seconds=0, waits=False).tried(yes) == 1
    standby = candidate("standby")
    assert not standby.tried(yes)
    steady.time += 1e6
    assert not standby.tried(yes)
    assert candidate("two", seconds=0, waits=False).tried(yes) == 2
    leases.release(2)
    assert standby.tried(yes) == 3


def test_one_that_does_not_wait_is_refused_by_a_lease_that_is_renewed(
    leases: Leases, candidate: Callable[..., Candidate], steady: Steady
) -> None:
    candidate("one").tried(yes)
    dead = candidate("two", seconds=0, waits=False)
    assert not dead.tried(yes)
    steady.time += SECONDS
    assert dead.tried(yes) == 2  # it was not renewed
    leases.release(2)
    candidate("three").tried(yes)
    living = candidate("four", seconds=0, waits=False)
    assert not living.tried(yes)
    leases.renew(3)
    with pytest.raises(errors.Conflict, match="three") as caught:
        living.tried(yes)
    assert caught.value.remedy


@pytest.fixture
def old(url: str, candidate: Callable[..., Candidate]) -> Iterator[Records]:
    """The records as the first server has them."""
    epoch = candidate("one").tried(yes)  # before there is any other table
    found = open_records(url, fence=Fence(epoch, SECONDS))
    yield found
    found.close()


def test_a_late_writer_is_refused(
    url: str, old: Records, leases: Leases, candidate: Callable[..., Candidate], steady: Steady
) -> None:
    old.people.add("ann", None)
    two = candidate("two")
    two.tried(yes)
    steady.time += SECONDS
    new = open_records(url, fence=Fence(two.tried(yes), SECONDS))
    with pytest.raises(errors.Unavailable, match="taken over"):
        old.people.add("bob", None)
    assert old.people.find("ann")  # it may still read
    assert new.people.find("bob") is None
    new.people.add("bob", None)
    new.close()


def test_a_writer_that_waits_while_another_server_takes_over_is_refused(url: str, old: Records, leases: Leases) -> None:
    """Its turn comes after the takeover, though its transaction began before. Who waits longest does not always come
    first (MariaDB 10.11), so the takeover has its turn already when the writer comes."""
    people = open_records(url)  # somebody's command
    held, go = threading.Event(), threading.Event()

    @event.listens_for(leases._database.engine, "after_cursor_execute")
    def stay(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE refmill_lease"):
            held.set()
            go.wait(60)

    with ThreadPoolExecutor(2) as pool:
        taking = pool.submit(lambda: leases.take(leases.look(), holder="two", mark="", seconds=1))
        assert held.wait(60)
        writing = pool.submit(lambda: old.people.add("late", None))
        _until_one_waits(people.database)
        assert not taking.done()
        go.set()
        assert taking.result(60) == 2
        with pytest.raises(errors.Unavailable, match="taken over"):
            writing.result(60)
    assert people.people.find("late") is None
    people.close()


# The server tells of the transactions of all its databases.
_WAITING_IN_MARIADB = """
SELECT COUNT(*) FROM information_schema.innodb_trx JOIN information_schema.innodb_locks ON lock_id = trx_requested_lock_id
WHERE lock_table = CONCAT('`', DATABASE(), '`.`alembic_version`')
"""


def _until_one_waits(database: Database) -> None:
    """Until somebody waits for the writers' lock."""
    asked = (
        "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        if database.kind == "postgresql"
        else _WAITING_IN_MARIADB
    )
    for _ in range(150):
        with database.reading() as connection:
            if int(connection.exec_driver_sql(asked).scalar() or 0):
                return
        threading.Event().wait(0.2)  # MariaDB shows nothing new to who asks more often than every tenth of a second
    raise AssertionError("nobody waited")


def test_a_writer_that_is_stopped_in_its_transaction_keeps_nobody_out(
    url: str, candidate: Callable[..., Candidate], steady: Steady
) -> None:
    epoch = candidate("one", seconds=1).tried(yes)
    old = open_records(url, fence=Fence(epoch, 1))
    old.people.add("ann", None)
    two = candidate("two")
    two.tried(yes)
    steady.time += SECONDS
    taken = []

    def stopped_in_the_middle() -> None:
        with old.database.writing() as connection:
            connection.exec_driver_sql("UPDATE users SET language = 'zh'")
            taken.append(_insisting(two))  # nothing is said in the transaction meanwhile
            connection.exec_driver_sql("SELECT 1")

    with pytest.raises(errors.Unavailable):
        stopped_in_the_middle()
    assert taken == [2]
    found = old.people.find("ann")
    assert found
    assert found.language != "zh"
    old.close()


def _insisting(candidate: Candidate) -> int:
    for _ in range(12):
        try:
            return candidate.tried(yes)
        except errors.Unavailable:  # it waited for the writers' lock for as long as it does
            continue
    raise AssertionError("the transaction is never ended")


@pytest.mark.parametrize("kind", KINDS)
def test_a_database_that_is_away_is_told_and_comes_back(kind: str) -> None:
    with database_server(kind) as server:
        _away_and_back(server)


def _away_and_back(server: DatabaseServer) -> None:
    leases = Leases(server.url(server.database()), patience=2)
    epoch = leases.take(leases.look(), holder="one", mark="", seconds=5)
    server.stop()
    with pytest.raises(errors.Unavailable):
        leases.renew(epoch)
    server.start()
    assert leases.renew(epoch)
    leases.close()
