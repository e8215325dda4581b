"""Opening a database: making it, migrating it, refusing a newer one, and all that at the same time."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from database_servers import ONLY_SQLITE
from disks import read_only
from fakes.record_values import a_plan, a_run
from refmill import errors
from refmill.clients.database import Records, open_records, schema, sqlite_url
from refmill.clients.database.migrate import MIGRATIONS, migrate
from refmill.model.people import Repository
from refmill.model.runs import StageRun


def test_the_migrations_make_exactly_the_tables_of_the_program(records: Records) -> None:
    with records.database.reading() as connection:
        # Of MariaDB's kinds Alembic takes LONGBLOB and a BLOB of its length for two.
        kinds = records.database.kind != "mysql"
        context = MigrationContext.configure(connection, opts={"compare_type": kinds})
        assert compare_metadata(context, schema.metadata) == []
        assert context.get_current_revision() == schema.REVISION


def test_the_program_knows_the_newest_migration() -> None:
    settings = Config()
    settings.set_main_option("script_location", str(MIGRATIONS))
    scripts = ScriptDirectory.from_config(settings)
    assert scripts.get_heads() == [schema.REVISION]
    assert all(step.revision.isdigit() and len(step.revision) == 4 for step in scripts.walk_revisions())


@ONLY_SQLITE
def test_a_database_of_the_first_version_keeps_its_runs(records: Records, repository: Repository, url: str) -> None:
    run = records.runs.add(
        a_run(repository, "old"), a_plan("train"), [StageRun("train", "succeeded", entry={"cmd": "x"})]
    )
    records.close()
    with sqlite3.connect(records.database.url.database or "") as connection:
        connection.executescript(
            "DROP INDEX ix_stage_attempts_inputs_key; ALTER TABLE stage_attempts DROP COLUMN inputs_key;"
            "ALTER TABLE stage_attempts DROP COLUMN environment; DROP TABLE former_names; DROP TABLE secrets;"
            "ALTER TABLE repositories DROP COLUMN network; ALTER TABLE stage_attempts DROP COLUMN written_bytes;"
            "ALTER TABLE stage_attempts DROP COLUMN gpu_memory;"
            "ALTER TABLE wishes DROP COLUMN details; UPDATE alembic_version SET version_num = '0001'"
        )
    connection.close()
    opened = open_records(url)
    assert opened.runs.get("old") == run
    assert opened.runs.stages("old") == [StageRun("train", "succeeded", entry={"cmd": "x"})]
    opened.close()


def test_an_up_to_date_database_is_opened_without_the_migration_tool(records: Records, url: str) -> None:
    assert not migrate(records.database)
    program = (
        "import sys; from refmill.clients.database import open_records;"
        f"open_records({url!r}); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("revision", ["9999", "abc123"])
def test_a_database_of_a_newer_program_is_refused_and_left_alone(records: Records, url: str, revision: str) -> None:
    with records.database.writing() as connection:
        connection.execute(sqlalchemy.text("UPDATE alembic_version SET version_num = :new"), {"new": revision})
    with pytest.raises(errors.Conflict, match="newer Refmill"):
        open_records(url)
    with records.database.reading() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == revision


def test_several_processes_may_make_it_at_once(url: str) -> None:
    program = (
        "import sys; from refmill.clients.database import open_records; sys.stdin.readline();"
        f"records = open_records({url!r}); records.people.add(sys.argv[1], None)"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program, f"user{count}"], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for count in range(4)
    ]
    for process in started:
        assert process.stdin
        process.stdin.write(b"go\n")
        process.stdin.flush()
    ends = [process.communicate(timeout=60)[1] for process in started]
    assert [process.returncode for process in started] == [0] * 4, ends
    records = open_records(url)
    assert len(records.people.users()) == 4
    records.close()


@pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
def test_a_migration_that_breaks_off_changes_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patched:
        patched.setattr("alembic.ddl.impl.DefaultImpl.create_index", explode)
        patched.setattr("alembic.ddl.postgresql.PostgresqlImpl.create_index", explode)
        with pytest.raises(RuntimeError, match="power cut"):
            open_records(url)
    engine = sqlalchemy.create_engine(url)
    assert sqlalchemy.inspect(engine).get_table_names() == []
    engine.dispose()
    open_records(url).close()


@ONLY_SQLITE
def test_migrating_does_not_follow_foreign_keys_but_checks_them(records: Records) -> None:
    user = records.people.add("ann", None)
    records.people.add_token(user.id, "x", ["read"])
    with pytest.raises(errors.Damaged), records.database.migrating() as connection:
        connection.exec_driver_sql("DELETE FROM users")
    assert records.people.find("ann") == user
    with records.database.migrating() as connection:
        connection.exec_driver_sql("ALTER TABLE users RENAME TO old")
        connection.exec_driver_sql("ALTER TABLE old RENAME TO users")
    with records.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM users")
    assert records.profiles.tokens(user.id) == []


@pytest.mark.parametrize("what", ["a directory", "not a database"])
def test_what_cannot_be_opened_is_told_in_words(tmp_path: Path, what: str) -> None:
    path = tmp_path / "odd.db"
    if what == "a directory":
        path.mkdir()
    else:
        path.write_bytes(b"something else altogether" * 1000)
    with pytest.raises(errors.RefmillError) as caught:
        open_records(sqlite_url(path))
    assert caught.value.remedy


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)  # the files of a server are its own
def test_a_database_that_became_read_only_says_so_and_is_written_to_again_later(
    records: Records, repository: Repository, url: str
) -> None:
    file = Path(records.database.url.database or "")
    records.close()
    with read_only(file):
        with pytest.raises(errors.Unavailable, match="cannot be written to: attempt to write a readonly database"):
            records.runs.add(a_run(repository, "r1"), a_plan(), [])
        assert records.people.find("ann")
        with pytest.raises(errors.Unavailable, match="cannot be opened: Read-only file system"):
            open_records(url)
    records.close()
    assert records.runs.add(a_run(repository, "r1"), a_plan(), []).number == 1
