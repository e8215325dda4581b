"""The resolver's server: answers as the reader does, and every limit that a file breaks becomes a problem."""

from __future__ import annotations

import datetime
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from refmill import errors
from refmill.clients import dvc_parsing
from refmill.clients.resolver import DirectResolver, SocketResolver
from refmill.clients.resolver.warming import MemoryTree
from refmill.ports.resolver import Checked, Source

SERVER = Path(__file__).with_name("resolver_server.py")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("run") / "resolver"
    server = subprocess.Popen([sys.executable, SERVER, path, "3"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    yield path
    server.terminate()
    assert server.wait(10) == 0
    server.stdout.close()


def ask(place: Path, commit: str) -> Checked:
    return SocketResolver(place).check(Source(Path("/nowhere"), commit))


def the_problem(found: Checked) -> tuple[str, str]:
    (problem,) = found.problems
    assert found.pipeline is None
    return problem.kind, str(problem.message)


def test_a_good_project_comes_back_whole(place: Path) -> None:
    found = ask(place, "good")
    assert found.problems == ()
    assert found.pipeline is not None
    assert found == dvc_parsing.check(MemoryTree({"dvc.yaml": b"stages:\n  s: {cmd: x}\n"}), max_stages=50)


def test_what_others_find_is_told_beside_what_the_parser_found(place: Path) -> None:
    kinds = [(problem.kind, problem.warning) for problem in ask(place, "further").problems]
    assert kinds == [("missing-dependency", True), ("workflow-template", False)]


def test_of_files_that_cannot_be_understood_nobody_else_is_asked(place: Path) -> None:
    assert "workflow-template" not in [problem.kind for problem in ask(place, "bad and further").problems]


def test_where_the_machine_is_to_blame_it_is_no_problem_of_the_files(place: Path) -> None:
    with pytest.raises(errors.Unavailable):
        ask(place, "busy")


def test_problems_come_back_with_their_places(place: Path) -> None:
    told = [(str(problem.place), problem.kind, problem.excerpt) for problem in ask(place, "bad").problems]
    assert told == [
        ("dvc.yaml:2:3", "missing-key", "  s: {comand: x}"),
        ("dvc.yaml:2:7", "unknown-key", "  s: {comand: x}"),
    ]


def test_values_that_json_does_not_know_come_back_as_they_were(place: Path) -> None:
    pipeline = ask(place, "odd values").pipeline
    assert pipeline is not None
    assert pipeline.stages["s"].meta == {1: datetime.date(2020, 1, 1), 2.5: float("inf")}
    assert pipeline.lock["s"] == {"cmd": "x", "params": {"p.yaml": {"k": {0: 1e-07}}}}


def test_aliases_that_multiply_are_a_problem_of_the_file(place: Path) -> None:
    found = ask(place, "aliases")
    assert [(problem.kind, problem.place.file) for problem in found.problems] == [("yaml-limit", "params.yaml")]


def test_a_matrix_that_multiplies_is_refused_before_it_does(place: Path) -> None:
    assert [problem.kind for problem in ask(place, "matrix").problems] == ["too-many-stages"]


def test_too_much_memory_is_a_problem(place: Path) -> None:
    assert the_problem(ask(place, "grows")) == ("too-much", "Reading the project's files took too much memory")


@pytest.mark.parametrize("commit", ["sleeps", "computes"])
def test_too_much_time_is_a_problem(place: Path, commit: str) -> None:
    assert the_problem(ask(place, commit)) == ("too-much", "Reading the project's files took too long")


def test_a_reader_that_breaks_down_is_a_problem(place: Path) -> None:
    kind, message = the_problem(ask(place, "dies"))
    assert kind == "too-much"
    assert "broke down" in message


def test_a_reader_that_somebody_kills_says_nothing_of_the_files(place: Path, tmp_path: Path) -> None:
    found = SocketResolver(place).check(Source(tmp_path / "killed", "is killed once"))
    assert (tmp_path / "killed").exists()
    assert found.problems == ()
    assert found.pipeline is not None
    found = SocketResolver(place).check(Source(tmp_path / "killed", "is killed"))
    assert the_problem(found) == ("too-much", "Reading the project's files took too much memory")


def test_a_source_that_is_not_there_is_said_so(place: Path) -> None:
    with pytest.raises(errors.NotFound, match="There is no commit lost"):
        ask(place, "lost")


def test_a_child_has_its_own_connection_alone_and_a_limit_of_cpu(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as idle:
        idle.connect(str(place))
        pipeline = ask(place, "looks around").pipeline
    assert pipeline is not None
    # standard streams, the connection, and the directory being listed; one second of CPU
    assert pipeline.stages["s"].desc == "5 1"


def test_more_requests_than_children_wait_their_turn(place: Path) -> None:
    with ThreadPoolExecutor(12) as threads:
        found = list(threads.map(lambda _: ask(place, "good"), range(30)))
    assert all(item.problems == () and item.pipeline for item in found)


def test_a_client_that_goes_away_hurts_nobody(place: Path) -> None:
    for body in (b"", b"S", b"S\0\0\0\5{", b"X\0\0\0\0", os.urandom(40)):
        with socket.socket(socket.AF_UNIX) as hostile:
            hostile.connect(str(place))
            hostile.sendall(body)
    assert ask(place, "good").problems == ()


def test_only_the_owner_may_connect(place: Path) -> None:
    assert place.stat().st_mode & 0o777 == 0o600


def test_no_server_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(errors.Unavailable):
        SocketResolver(tmp_path / "nobody", timeout=0.2).check(Source(tmp_path))


def test_the_direct_resolver_answers_the_same(place: Path) -> None:
    direct = DirectResolver(lambda _: MemoryTree({"dvc.yaml": b"stages:\n  s: {comand: x}\n"}), max_stages=50)
    assert direct.check(Source(Path())) == ask(place, "bad")
