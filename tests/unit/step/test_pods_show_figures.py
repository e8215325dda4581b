"""What a stage measures is sent while its commands run, and whatever becomes of that, the stage is none the worse."""

import time
from pathlib import Path

import pytest

from fakes.pod_server import Attempt, PodServer, stage
from podding import Pod, archive, until

WAITS = "while [ ! -e $TMPDIR/{0} ]; do sleep 0.02; done"


def sent(server: PodServer, index: int = 0) -> dict[str, bytes]:
    """The latest figures of a stage's latest attempt."""
    return dict(told(server, index))


def told(server: PodServer, index: int = 0) -> list[tuple[str, bytes]]:
    """All that was sent of it."""
    attempts: list[Attempt] = server.attempts[index]
    return attempts[-1].figures if attempts else []


def test_metrics_and_plots_are_sent_as_they_grow_and_nothing_else(pod: Pod, serve, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("none of yours")
    server = serve(
        stage(
            "s",
            "echo 1 > m.json; mkdir -p p/metrics/train; echo a > p/metrics/train/loss.tsv; echo x > o; echo y > other",
            f"ln -s {tmp_path}/secret p/link; ln -s {tmp_path} p/folder; mkfifo p/pipe; rmdir d; ln -s {tmp_path} d",
            WAITS.format("more"), "echo 2 > m.json", WAITS.format("go"), "rm -r p d; echo b > p; mkdir d; echo c > d/secret",
            outs=["o"], metrics=["m.json", "d/secret"], plots=["p"],
        ),
        project="inside", commit=archive({"inside/dvc.yaml": b"stages: {}\n"}),
    )  # fmt: skip
    process = pod.start(server)
    until(lambda: sent(server) == {"m.json": b"1\n", "p/metrics/train/loss.tsv": b"a\n"})
    (tmp_path / "more").touch()
    until(lambda: sent(server)["m.json"] == b"2\n")
    (tmp_path / "go").touch()
    assert process.wait(30) == 0, pod.said
    assert {path for path, _ in told(server)} - {"p", "d/secret"} == {"m.json", "p/metrics/train/loss.tsv"}
    assert b"none of yours" not in dict(told(server)).values()


def test_a_file_that_says_the_same_again_is_not_sent_again(pod: Pod, serve, tmp_path: Path) -> None:
    writes = "while [ ! -e $TMPDIR/go ]; do echo 1 > b; mv b a; date +%N > c; sleep 0.02; done"
    server = serve(stage("s", "echo 1 > a", writes, metrics=["a", "c"]))
    process = pod.start(server)
    until(lambda: [path for path, _ in told(server)].count("c") > 2)
    (tmp_path / "go").touch()
    assert process.wait(30) == 0, pod.said
    assert [path for path, _ in told(server)].count("a") == 1


@pytest.mark.parametrize("how", ["drop", "503", "429"])
def test_figures_that_do_not_get_through_hold_up_nothing_and_come_later(
    pod: Pod, serve, tmp_path: Path, how: str
) -> None:
    server = serve(stage("s", "echo 1 > m", WAITS.format("go"), metrics=["m"]), stage("t", "echo 2 > n", metrics=["n"]))
    server.fault("/live", how, 2)
    process = pod.start(server)
    until(lambda: sent(server) == {"m": b"1\n"}, 30)
    assert server.count("/live") == 3
    server.fault("/live", how, 1000)
    (tmp_path / "go").touch()
    assert process.wait(30) == 0, pod.said
    assert [end["code"] for end in server.ends(0) + server.ends(1)] == [0, 0]


def test_a_server_that_hangs_over_figures_does_not_hold_up_the_end(pod: Pod, serve, tmp_path: Path) -> None:
    server = serve(stage("s", "echo 1 > m", WAITS.format("go"), metrics=["m"]))
    asked = []

    def hanging(*said: object) -> tuple[int, dict[str, object]]:
        asked.append(said)
        server._guard.release()  # others are answered meanwhile
        try:
            until(server.ends, 60)
        finally:
            server._guard.acquire()
        return 204, {}

    server.measured = hanging
    process = pod.start(server)
    until(lambda: asked)
    (tmp_path / "go").touch()
    assert process.wait(30) == 0, pod.said
    assert [end["code"] for end in server.ends()] == [0]


@pytest.mark.parametrize("how", ["404", "409"])
def test_a_server_that_wants_none_is_asked_once(pod: Pod, serve, tmp_path: Path, how: str) -> None:
    server = serve(stage("s", "while [ ! -e $TMPDIR/go ]; do date +%N > m; sleep 0.02; done", metrics=["m"]))
    server.fault("/live", how, 1000)
    process = pod.start(server)
    until(lambda: "figures are not taken any more" in pod.said)
    time.sleep(3)  # more than there is between two looks, or between two tries
    (tmp_path / "go").touch()
    assert process.wait(30) == 0, pod.said
    assert server.count("/live") == 1


def test_a_file_that_is_refused_keeps_no_other_back(pod: Pod, serve, tmp_path: Path) -> None:
    writes = "while [ ! -e $TMPDIR/go ]; do date +%N > a; date +%N > b; sleep 0.02; done"
    server = serve(stage("s", writes, metrics=["a", "b"]))
    server.fault("/live.*path=a", "413", 1000)
    process = pod.start(server)
    until(lambda: len(told(server)) > 2)
    (tmp_path / "go").touch()
    assert process.wait(30) == 0, pod.said
    assert server.count("/live.*path=a") == 1


def test_files_that_always_change_keep_no_other_back(pod: Pod, serve, tmp_path: Path) -> None:
    busy = [f"a{number}" for number in range(10)]
    writes = f"while [ ! -e $TMPDIR/go ]; do for n in {' '.join(busy)}; do date +%N > $n; done; sleep 0.05; done"
    server = serve(stage("s", "echo 1 > z", writes, metrics=[*busy, "z"]))
    process = pod.start(server)
    until(lambda: set(sent(server)) == {*busy, "z"}, 30)
    (tmp_path / "go").touch()
    assert process.wait(30) == 0, pod.said


def test_of_many_and_large_files_a_bounded_part_is_sent(pod: Pod, serve, tmp_path: Path) -> None:
    server = serve(
        stage("s", "mkdir p; for n in $(seq 100); do echo $n > p/$n; done; head -c 3000000 /dev/zero > large",
              "mkdir -p p/0/b/c/d; echo deep > p/0/b/c/deep; echo deeper > p/0/b/c/d/deeper; rm p/1*",
              WAITS.format("go"), metrics=["large"], plots=["p"])
    )  # fmt: skip
    process = pod.start(server)
    until(lambda: len(sent(server)) >= 64, 60)
    time.sleep(1.5)  # more than there is between two looks
    (tmp_path / "go").touch()
    assert process.wait(30) == 0, pod.said
    found = sent(server)
    assert (len(found), len(found["large"])) == (64, 1 << 20)
    assert found["p/0/b/c/deep"] == b"deep\n"
    assert "p/0/b/c/d/deeper" not in found


def test_after_the_end_of_an_attempt_nothing_more_of_it_is_sent(pod: Pod, serve, tmp_path: Path) -> None:
    server = serve(
        stage("s", "echo 1 > m", WAITS.format("go"), metrics=["m"]),
        stage("t", "rm m; echo 3 > m", WAITS.format("done"), inputs={"m": "m"}),
    )
    process = pod.start(server)
    until(lambda: sent(server) == {"m": b"1\n"})
    (tmp_path / "go").touch()
    until(lambda: server.attempts[1] and b"$ while" in server.attempts[1][0].log)
    time.sleep(1.5)  # more than there is between two looks
    (tmp_path / "done").touch()
    assert process.wait(30) == 0, pod.said
    assert [request for request in server.requests if "/live" in request][1:] == []
