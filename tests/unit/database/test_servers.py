"""What a database server may do to a platform, and names that some servers would take for the same."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from database_servers import KINDS, PASSWORD, DatabaseServer, database_server
from fakes.record_values import a_plan, a_run
from refmill import errors
from refmill.clients.database import Records, open_records, server_url
from refmill.model.people import Repository
from refmill.model.pushes import ZERO, RefUpdate

ALIKE = [
    "refs/heads/main",
    "refs/heads/Main",
    "refs/heads/main ",
    "refs/heads/mäin",
    "refs/heads/ma\u0308in",
    "ß",
    "ss",
]


@pytest.fixture(params=KINDS)
def own_server(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    """A server that the test may stop."""
    with database_server(request.param) as found:
        yield found


def test_records_come_back_with_their_server(own_server: DatabaseServer) -> None:
    records = open_records(own_server.url(own_server.database()))
    records.people.add("ann", None)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: records.people.find("ann"), range(50)))
    own_server.stop()
    for ask in (lambda: records.people.find("ann"), lambda: records.people.add("bob", None)):
        with pytest.raises(errors.Unavailable, match="does not answer") as caught:
            ask()
        assert caught.value.remedy
        assert PASSWORD not in str(caught.value)
    own_server.start()
    assert records.people.find("ann")
    assert records.people.add("bob", None)
    records.close()


def test_a_server_that_goes_in_a_transaction_leaves_nothing_of_it(own_server: DatabaseServer) -> None:
    records = open_records(own_server.url(own_server.database()))
    ann = records.people.add("ann", None)

    def half() -> None:
        with records.database.writing() as connection:
            connection.exec_driver_sql("UPDATE users SET language = 'zh'")
            own_server.stop()

    with pytest.raises(errors.Unavailable):
        half()
    own_server.start()
    assert records.people.find("ann") == ann
    records.close()


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_writers_in_opposite_order_are_no_deadlock(records: Records, repository: Repository, url: str) -> None:
    runs = [records.runs.add(a_run(repository, f"r{count}"), a_plan(), []).id for count in range(2)]
    other, start = open_records(url), threading.Barrier(2)

    def move(one: Records, order: list[str]) -> None:
        for _ in range(10):
            start.wait(60)
            with one.database.writing() as connection:
                for run_id in order:
                    connection.exec_driver_sql(f"UPDATE runs SET priority = priority + 1 WHERE id = '{run_id}'")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(move, [records, other], [runs, runs[::-1]]))
    with records.database.reading() as connection:
        assert set(connection.exec_driver_sql("SELECT priority FROM runs").scalars()) == {20}
    other.close()


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_a_view_is_that_of_one_moment(records: Records, repository: Repository) -> None:
    with records.database.reading() as connection:
        before = connection.exec_driver_sql("SELECT COUNT(*) FROM users").scalar()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(records.people.add, "bob", None).result()
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM users").scalar() == before
    assert records.people.find("bob")


def test_refs_and_projects_are_compared_byte_by_byte(records: Records, repository: Repository) -> None:
    for number, ref in enumerate(ALIKE):
        event = records.inbox.announce(repository.id, "ann", [RefUpdate(ref, ZERO, f"{number}" * 40)], [])[0]
        records.inbox.land([event.id])
        records.runs.add(replace(a_run(repository, f"r{number}"), ref=ref, project=ref), a_plan(), [])
    assert records.inbox.handled_tips(repository.id) == {ref: f"{n}" * 40 for n, ref in enumerate(ALIKE)}
    for number, ref in enumerate(ALIKE):
        assert [run.id for run in records.runs.list([repository.id], ref=ref)] == [f"r{number}"]
        assert [run.id for run in records.runs.list([repository.id], project=ref)] == [f"r{number}"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_reached_is_told_without_the_password(
    kind: str, database_servers: Callable[[str], DatabaseServer]
) -> None:
    server = database_servers(kind)
    right = server.url("no_such_database")
    for wrong in (
        right,
        right.replace(PASSWORD.replace(" ", "%20"), "wrong"),
        right.replace(f":{server.port}/", ":9/"),
    ):
        with pytest.raises(errors.Unavailable) as caught:
            open_records(wrong)
        assert PASSWORD not in str(caught.value)


def test_addresses_are_those_that_people_write() -> None:
    assert server_url("postgresql://u:p%40@h:1/n") == "postgresql+psycopg://u:p%40@h:1/n"
    assert server_url("postgres://u@h/n") == "postgresql+psycopg://u@h/n"
    assert server_url("mysql://u@h/n") == server_url("mariadb://u@h/n") == "mysql+pymysql://u@h/n"
    for wrong in ("oracle://u@h/n", "no address", "postgresql://u@h", "sqlite:///x", "postgresql://u@h:x/n"):
        with pytest.raises(errors.WrongUse) as caught:
            server_url(wrong)
        assert caught.value.remedy
