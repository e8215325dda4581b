"""What happens when stages do not end well."""

from __future__ import annotations

import json
import textwrap
import threading
import time
from pathlib import Path

import pytest

from refmill import errors
from refmill.clients.objects import DirectoryObjects
from refmill.engine.courses import Defaults
from refmill.engine.scheduler import Budget
from refmill.engine.stages import Bounds
from refmill.ports.engines import StageSettings
from refmill.texts import text

FORK = """
stages:
  bad:
    cmd: {cmd}
    outs: [bad.txt]
  below:
    cmd: cp bad.txt below.txt
    deps: [bad.txt]
    outs: [below.txt]
  other:
    cmd: sleep 0.5; echo 1 > other.txt
    outs: [other.txt]
  last:
    cmd: cp other.txt last.txt
    deps: [other.txt]
    outs: [last.txt]
"""


def states(bench) -> dict[str, str]:
    return {stage.address: stage.status for _, stage in bench.told.heard}


def test_after_a_failure_running_stages_finish_and_no_new_one_starts(bench):
    assert bench.run({"dvc.yaml": FORK.format(cmd="exit 3")}) == "failed"
    assert states(bench) == {"bad": "failed", "below": "skipped", "other": "succeeded", "last": "skipped"}
    assert str(bench.told.last("bad").explanation) == "ended with exit code 3"
    assert str(bench.told.ends[0][4]) == "bad ended with exit code 3"
    assert bench.kept["bad", 1].endswith("s ended with exit code 3\n")


def test_going_on_leaves_out_only_what_depends_on_the_failure(bench):
    assert bench.run({"dvc.yaml": FORK.format(cmd="exit 3")}, on_error="continue") == "failed"
    assert states(bench) == {"bad": "failed", "below": "skipped", "other": "succeeded", "last": "succeeded"}
    assert set(bench.told.ends[0][3]) == {"other", "last"}


@pytest.mark.parametrize(
    ("cmd", "settings", "words"),
    [
        pytest.param("sleep 9", StageSettings(timeout=0.3), "took longer than 0.3 s and was ended", id="timeout"),
        pytest.param("kill -9 $$", StageSettings(), "was killed by signal 9 (SIGKILL) from outside", id="signal"),
        pytest.param("nosuchprogram", StageSettings(), "ended with exit code 127: a command in it was not found", id="no-command"),
        pytest.param("'true'", StageSettings(), "output bad.txt was not made", id="no-output"),
        pytest.param("ln -s /etc/passwd bad.txt", StageSettings(), "output bad.txt: bad.txt is a link that leads out", id="link-out"),
        pytest.param("mkfifo bad.txt", StageSettings(), "output bad.txt: bad.txt is neither a file nor a directory", id="fifo"),
        pytest.param("echo 1 > bad.txt", StageSettings(gpu=9), "asks for 9 GPUs; this machine has 0", id="too-many-gpus"),
        pytest.param("echo 1 > bad.txt", StageSettings(memory=64 << 40), "asks for 6.55e+04 GiB of memory", id="too-much-memory"),
    ],
)  # fmt: skip
def test_the_reason_is_told_in_words(bench, cmd, settings, words):
    assert (
        bench.run({"dvc.yaml": f"stages:\n  bad:\n    cmd: {cmd}\n    outs: [bad.txt]\n"}, {"bad": settings})
        == "failed"
    )
    assert str(bench.told.last("bad").explanation).startswith(words)
    assert not bench.told.last("bad").fault


def test_a_stage_that_fails_is_tried_again_as_often_as_it_may(bench):
    count = bench.root / "count"
    cmd = f"echo x >> {count}; test $(wc -l < {count}) = 3 && echo 1 > bad.txt"
    order = {"bad": StageSettings(retries=2)}
    assert bench.run({"dvc.yaml": f"stages:\n  bad:\n    cmd: {cmd}\n    outs: [bad.txt]\n"}, order) == "succeeded"
    course = [(s.attempt, s.status) for _, s in bench.told.heard if s.status in ("running", "failed", "succeeded")]
    assert course == [(1, "running"), (1, "failed"), (2, "running"), (2, "failed"), (3, "running"), (3, "succeeded")]
    assert {("bad", number) for number in (1, 2, 3)} == set(bench.kept)


def test_retries_have_an_end(bench):
    order = {"bad": StageSettings(retries=1)}
    assert bench.run({"dvc.yaml": "stages:\n  bad:\n    cmd: exit 1\n    outs: [x]\n"}, order) == "failed"
    assert bench.told.course("bad").count("failed") == 2


def test_data_that_is_not_there_blocks_what_needs_it(bench):
    pipeline = textwrap.dedent("""
        stages:
          first: {cmd: echo 1 > one, outs: [one]}
          needs: {cmd: cat one raw > two, deps: [one, raw], outs: [two]}
    """)
    data = "outs:\n- md5: 0123456789abcdef0123456789abcdef\n  size: 4\n  hash: md5\n  path: raw\n"
    assert bench.run({"dvc.yaml": pipeline, "raw.dvc": data}) == "failed"
    assert states(bench) == {"first": "succeeded", "needs": "blocked"}
    assert "missing data" in str(bench.told.last("needs").explanation)


def test_where_no_sandbox_works_only_trusted_people_run(bench):
    engine = bench.engine()
    order = bench.order({"dvc.yaml": "stages:\n  a:\n    cmd: echo 1 > a\n    outs: [a]\n"})
    object.__setattr__(order, "trusted", False)
    engine.submit(order)
    assert bench.end(order) == "failed"
    assert "ann is not one" in str(bench.told.last("a").explanation)
    assert bench.told.course("a") == ["failed"]


def test_a_repository_that_is_gone_fails_the_run_instead_of_the_engine(bench):
    order = bench.order({"dvc.yaml": "stages:\n  a:\n    cmd: echo 1 > a\n    outs: [a]\n"})
    bench.bare.rename(bench.root / "gone")
    bench.engine(budget=Budget(1.0, 4 << 30)).submit(order)
    assert bench.end(order) == "failed"
    assert bench.told.faults == []


def test_what_the_platform_is_to_blame_for_is_told_as_such(bench):
    def broken(_):
        raise ZeroDivisionError

    def away(_, __):
        raise errors.Unavailable(text("the database is away"))

    files = {"dvc.yaml": "stages:\n  a:\n    cmd: echo 1 > a\n    outs: [a]\n"}
    order = bench.order(files)
    bench.engine(memory=broken).submit(order)
    assert bench.end(order) == "failed"
    assert bench.told.faults == [order.run.id]
    for secrets, fault in ((away, True), (lambda _, __: {}, False)):
        order = bench.order(files, {"a": StageSettings(secrets={"KEY": "key"})})
        bench.engine(secrets=secrets).submit(order)
        assert bench.end(order) == "failed"
        assert bench.told.last("a").fault == fault
    assert len(bench.told.faults) == 1


def test_an_object_that_vanishes_before_its_use_is_named(bench):
    md5 = bench.objects.write(b"raw\n")
    data = f"outs:\n- md5: {md5}\n  size: 4\n  hash: md5\n  path: raw\n"
    order = bench.order(
        {"dvc.yaml": "stages:\n  a:\n    cmd: cp raw a\n    deps: [raw]\n    outs: [a]\n", "raw.dvc": data}
    )
    path = bench.objects.path(md5)
    path.unlink()
    bench.engine().submit(order)
    assert bench.end(order) == "failed"
    assert md5 in str(bench.told.last("a").explanation)


@pytest.mark.parametrize(
    ("line", "bounds", "why"),
    [
        (
            "for i in 1 2 3 4 5 6 7 8 9; do sleep 60 & done; wait",
            Bounds(processes=6),
            "more than 6 processes and threads",
        ),
        ("head -c 3000000 /dev/zero > $TMPDIR/big; sleep 60", Bounds(disk=1 << 20), "more than 1 MiB of disk"),
        ("cd ~; for i in 1 2 3 4 5; do touch $i; done; sleep 60", Bounds(files=9), "more than 9 files"),
        ("head -c 90000000 /dev/zero > big; sleep 60", Bounds(keep=1 << 60), "disk is nearly full"),
    ],
)
def test_a_stage_that_takes_what_others_need_is_ended_with_the_reason(bench, line, bounds, why):
    bench.engine(defaults=Defaults(1 << 30, bounds=bounds))
    pipeline = f"stages:\n  hog:\n    cmd: {json.dumps(line)}\n    outs: [big]\n"
    assert bench.run({"dvc.yaml": pipeline}) == "failed"
    assert why in str(bench.told.last("hog").explanation)
    assert bench.told.last("hog").fault == ("disk is nearly full" in why)
    assert why in bench.kept["hog", 1]


def test_what_a_stage_wrote_is_told(bench):
    line = "head -c 5000000 /dev/zero > big"
    assert bench.run({"dvc.yaml": f"stages:\n  a:\n    cmd: {line}\n    outs: [big]\n"}) == "succeeded"
    usage = bench.told.last("a").usage
    assert usage.output_bytes == 5_000_000
    assert usage.written_bytes >= 5_000_000


class Leaving(DirectoryObjects):
    """A store that is away at every request but the first few, until it is `back`."""

    def __init__(self, root: Path, requests: int) -> None:
        super().__init__(root)
        self._left, self.asked, self.back = requests, threading.Event(), threading.Event()

    def put(self, source: Path, md5: str, *, move: bool = False) -> None:
        if not self.back.is_set():
            self._left -= 1
            if self._left < 0:
                self.asked.set()
                raise errors.Away(text("the store is away"))
        super().put(source, md5, move=move)


OUTPUTS = """
stages:
  a:
    cmd: echo x >> {log}; mkdir d; echo 1 > d/1; echo 2 > d/2; echo 3 > e
    outs: [d, e]
"""


@pytest.mark.parametrize("requests", [0, 1, 2])
def test_outputs_are_kept_while_the_store_is_away_also_half_stored(bench, monkeypatch, requests):
    monkeypatch.setattr("refmill.engine.hands.PAUSE", 0.1)
    store = bench.objects = Leaving(bench.root / "objects", requests)
    threading.Thread(target=lambda: store.asked.wait(20) and (time.sleep(0.3), store.back.set())).start()
    log = bench.root / "log"
    assert bench.run({"dvc.yaml": OUTPUTS.format(log=log)}) == "succeeded"
    assert store.asked.is_set()
    assert log.read_text() == "x\n"


def test_a_run_that_waits_for_the_store_can_be_stopped(bench, monkeypatch):
    monkeypatch.setattr("refmill.engine.hands.PAUSE", 0.1)
    store = bench.objects = Leaving(bench.root / "objects", 0)
    order = bench.order({"dvc.yaml": OUTPUTS.format(log="log")})
    engine = bench.engine()
    engine.submit(order)
    assert store.asked.wait(20)
    engine.stop(order.run.id)
    assert bench.end(order) == "stopped"
