"""Throwaway database servers for tests: the real PostgreSQL and MariaDB of Debian, each on a free port of loopback."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy

from server_processes import ServerProcess, free_port

KINDS = ("postgresql", "mariadb")
ONLY_SQLITE = pytest.mark.parametrize("url", ["sqlite"], indirect=True)
"""For what is about SQLite's own files."""
SECONDS = 60.0
ROOM = 1 << 30
USER, PASSWORD = "refmill", "a password"
MISSING = {
    "postgresql": "no PostgreSQL server: the Debian package postgresql has it",
    "mariadb": "no MariaDB server: the Debian packages mariadb-server-core and mariadb-client-core have it",
}
PROGRAMS = {
    "postgresql": ("postgres", "initdb"),
    "mariadb": ("mariadbd", "mariadb-install-db", "my_print_defaults"),
}
"""What it takes to start one; those of MariaDB find each other by PATH."""
SQL = f"""\
CREATE USER {USER}@'%' IDENTIFIED BY '{PASSWORD}';
GRANT ALL ON *.* TO {USER}@'%' WITH GRANT OPTION;
"""


def program(name: str) -> str | None:
    """A server's program; Debian keeps those of PostgreSQL away from PATH."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    beside = Path("/usr/sbin", name)
    return str(places[0]) if places else shutil.which(name) or (str(beside) if beside.exists() else None)


def new_folder() -> Path:
    """In memory where there is room: every change of a table is forced to disk, and tests make hundreds."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM
    return Path(tempfile.mkdtemp(prefix="refmill-database-", dir=memory if roomy else "/tmp"))


@contextmanager
def database_server(kind: str) -> Iterator["DatabaseServer"]:
    """A server for a while, which whoever has it may stop and start."""
    found = DatabaseServer(kind)
    try:
        yield found.start()
    finally:
        found.drop()


@dataclass
class DatabaseServer(ServerProcess):
    """A server; `start` and `stop` may be called again and again, `drop` takes its data away."""

    kind: str
    port: int = field(default_factory=free_port)
    folder: Path = field(default_factory=new_folder)

    def _as_somebody(self, *command: str) -> list[str]:
        """Neither server runs as root."""
        if os.geteuid() != 0:
            return list(command)
        nobody = pwd.getpwnam("nobody")
        os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        return ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", *command]

    def _environment(self) -> dict[str, str]:
        """Two MariaDBs made at once take each other's temporary tables from a common folder."""
        return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TMPDIR": str(self.folder)}

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            self._as_somebody(*command), cwd=self.folder, capture_output=True, text=True, check=False,
            env=self._environment(),
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> "DatabaseServer":
        """Until it answers; its data are made first."""
        data = self.folder / "data"
        server, *others = (program(name) for name in PROGRAMS[self.kind])
        if server is None or None in others:
            pytest.skip(MISSING[self.kind])
        if self.kind == "postgresql":
            if not data.exists():
                (self.folder / "secret").write_text(PASSWORD)
                self._run(
                    program("initdb") or "initdb", "--pgdata", str(data), "--username", USER, "--auth", "scram-sha-256",
                    "--pwfile", str(self.folder / "secret"), "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync",
                )  # fmt: skip
            command = [server, "-D", str(data), "-p", str(self.port), "-k", str(self.folder), "-c", "fsync=off",
                       "-c", "listen_addresses=127.0.0.1"]  # fmt: skip
        else:
            if not data.exists():
                (self.folder / "begin.sql").write_text(SQL)
                self._run(program("mariadb-install-db") or "mariadb-install-db", "--no-defaults", f"--datadir={data}",
                          "--auth-root-authentication-method=normal", "--skip-test-db")  # fmt: skip
            begin = [f"--init-file={self.folder / 'begin.sql'}"] if not (self.folder / "begun").exists() else []
            command = [server, "--no-defaults", f"--datadir={data}", f"--port={self.port}", "--bind-address=127.0.0.1",
                       f"--socket={self.folder / 'socket'}", f"--pid-file={self.folder / 'pid'}",
                       "--innodb-flush-log-at-trx-commit=0", "--skip-name-resolve", *begin]  # fmt: skip
        self.begin(self._as_somebody(*command), cwd=self.folder, env=self._environment())
        self._until_it_answers()
        (self.folder / "begun").touch()
        return self

    def _until_it_answers(self) -> None:
        end = time.monotonic() + SECONDS
        while True:
            try:
                self.execute("SELECT 1")
            except sqlalchemy.exc.DBAPIError as error:
                if self.process is None or self.process.poll() is not None or time.monotonic() > end:
                    told = self.log()[-3000:]
                    self.drop()
                    raise AssertionError(f"{self.kind} does not start: {told}") from error
                time.sleep(0.2)
            else:
                return

    def url(self, database: str, *, driver: bool = True) -> str:
        """A database's address."""
        name = {"postgresql": "postgresql", "mariadb": "mysql"}[self.kind]
        used = {"postgresql": "+psycopg", "mysql": "+pymysql"}[name] if driver else ""
        return sqlalchemy.URL.create(name + used, USER, PASSWORD, "127.0.0.1", self.port, database).render_as_string(
            hide_password=False
        )

    def execute(self, statement: str) -> None:
        """A statement of whoever runs the server."""
        engine = sqlalchemy.create_engine(self.url("postgres" if self.kind == "postgresql" else "mysql"))
        try:
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql(statement)
        finally:
            engine.dispose()

    def database(self) -> str:
        """The name of a new, empty database."""
        name = f"t{uuid.uuid4().hex}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def stop(self) -> None:
        """End it as an administrator does, without waiting for those who are connected."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGINT if self.kind == "postgresql" else signal.SIGTERM)
                self.process.wait(60)
            self.process = None

    def drop(self) -> None:
        """End it and take its data away."""
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)
