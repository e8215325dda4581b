"""One server at a time has a data directory, with real locks and real databases: who has it, who waits, who dies."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from database_servers import KINDS, DatabaseServer, database_server
from platforms import wait
from refmill import errors, settings
from refmill.settings import Settings
from refmill_web import places
from refmill_web.processes import holding

LEASE = 4.0
SERVER = """
import sys, time
from pathlib import Path
from refmill import settings
from refmill_web.processes import holding
proof, standby = Path(sys.argv[2]), sys.argv[3] == "standby"
chosen = settings.load({"data": Path(sys.argv[1]), "standby": standby}, {})
hold = holding.wait(chosen, lambda why: print("waits", flush=True)) if standby else holding.take(chosen)
hold.keep(lambda: None)
print("has", hold.fence.epoch if hold.fence else 0, flush=True)
while True:
    with proof.open("a") as file:
        file.write(".")
    time.sleep(0.005)
"""


@dataclass
class Server:
    """A process that has, or waits for, a data directory, and writes as long as it has it."""

    process: subprocess.Popen[str]
    proof: Path

    def says(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    @property
    def written(self) -> int:
        return self.proof.stat().st_size if self.proof.exists() else 0


@pytest.fixture(params=["sqlite", *KINDS])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def chosen(kind: str, database_servers: Callable[[str], DatabaseServer], tmp_path: Path) -> Settings:
    data = tmp_path / "data"
    data.mkdir()
    use(database_servers(kind) if kind != "sqlite" else None, data)
    return settings.load({"data": data}, {})


def use(server: DatabaseServer | None, data: Path) -> None:
    """Write the settings."""
    lines = [f"lease_seconds = {LEASE}"]
    if server is not None:
        lines.append(f"database = {json.dumps(server.url(server.database(), driver=False))}")
    (data / settings.FILE).write_text("\n".join(lines))


@pytest.fixture
def server(chosen: Settings, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def start(*, standby: bool = True, data: Path | None = None) -> Server:
        proof = tmp_path / f"proof{len(started)}"
        command = [
            sys.executable,
            "-c",
            SERVER,
            str(data or chosen.data),
            str(proof),
            "standby" if standby else "plain",
        ]
        started.append(Server(subprocess.Popen(command, stdout=subprocess.PIPE, text=True), proof))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.send_signal(signal.SIGCONT)
        one.process.communicate()


def elsewhere(chosen: Settings, tmp_path: Path) -> Path:
    """The same directory as another machine has it, to which the volume carries no locks."""
    data = tmp_path / "elsewhere"
    data.mkdir()
    (data / settings.FILE).symlink_to(chosen.data / settings.FILE)
    return data


@pytest.mark.parametrize("standby", [False, True])
def test_a_second_server_is_refused_and_one_after_a_kill_comes_in_at_once(
    server: Callable[..., Server], chosen: Settings, *, standby: bool
) -> None:
    first = server(standby=standby)
    assert first.says().startswith("has")
    assert holding.is_running(chosen)
    with pytest.raises(errors.Conflict, match="another Refmill"):
        holding.take(chosen)
    with pytest.raises(errors.Conflict), holding.alone(chosen):
        pass
    first.process.kill()
    first.process.wait()
    assert not holding.is_running(chosen)
    hold = holding.take(replace(chosen, lease_seconds=600))
    assert holding.is_running(chosen)
    hold.close()
    assert not holding.is_running(chosen)


def test_a_standby_waits_and_comes_in_when_the_other_one_has_ended(
    server: Callable[..., Server], chosen: Settings
) -> None:
    hold = holding.take(chosen)
    second = server()
    assert second.says() == "waits"
    assert second.written == 0
    hold.close()
    assert second.says() in ("has 0", "has 2")


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_a_server_elsewhere_is_kept_out_by_the_lease_alone(
    server: Callable[..., Server], chosen: Settings, tmp_path: Path
) -> None:
    first = server()
    assert first.says() == "has 1"
    there = elsewhere(chosen, tmp_path)
    second = server(data=there)
    assert second.says() == "waits"
    with pytest.raises(errors.Conflict, match="holds the database"):
        holding.take(settings.load({"data": there}, {}))
    with pytest.raises(errors.Conflict), holding.alone(settings.load({"data": there}, {})):
        pass
    assert holding.is_running(settings.load({"data": there}, {}))
    assert second.written == 0
    first.process.kill()
    assert second.says() == "has 2"


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_a_server_that_is_stopped_for_longer_than_its_lease_dies_when_it_goes_on_and_writes_nothing(
    server: Callable[..., Server], chosen: Settings
) -> None:
    first = server()
    assert first.says() == "has 1"
    second = server()
    assert second.says() == "waits"
    wait(lambda: first.written, "the first one writes")
    first.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, first.process.pid, os.WSTOPPED | os.WNOWAIT)
    written = first.written
    assert second.says() == "has 2"
    wait(lambda: second.written, "the second one writes")
    first.process.send_signal(signal.SIGCONT)
    assert first.process.wait(60) == -signal.SIGALRM
    assert first.written == written
    # The locks of the dead one are taken up, so that they tell of the second one from then on.
    wait(lambda: not _free(chosen), "the second one has the locks")
    assert second.process.poll() is None


def _free(chosen: Settings) -> bool:
    locks = holding.Locks(chosen)
    try:
        return locks.tried()
    finally:
        locks.close()


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize("away", KINDS)
def test_a_server_without_its_database_ends_itself_within_its_lease(
    server: Callable[..., Server], chosen: Settings, away: str
) -> None:
    with database_server(away) as found:
        use(found, chosen.data)
        first = server()
        assert first.says() == "has 1"
        second = server(data=chosen.data)
        assert second.says() == "waits"
        found.stop()
        assert first.process.wait(60) == holding.OVERTAKEN
        found.start()
        assert second.says() == "waits"  # it says for what; then its turn comes
        assert second.says() in ("waits", "has 2")


@pytest.mark.parametrize("kind", KINDS, indirect=True)
@pytest.mark.parametrize("standby", [False, True])
def test_a_server_that_was_overtaken_ends_itself(
    server: Callable[..., Server], chosen: Settings, *, standby: bool
) -> None:
    first = server(standby=standby)
    assert first.says() == "has 1"
    leases = places.leases(chosen)
    assert leases
    wait(lambda: leases.take(leases.look(), holder="another", mark="", seconds=600), "it is taken")
    assert first.process.wait(60) == holding.OVERTAKEN
    leases.close()
