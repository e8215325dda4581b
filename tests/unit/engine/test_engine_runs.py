"""Whole runs through the engine, with real processes."""

from __future__ import annotations

import textwrap
import time

from refmill.engine.courses import Defaults
from refmill.engine.scheduler import Budget
from refmill.ports.engines import StageSettings

TWO = """
stages:
  make:
    cmd: mkdir -p out && tr a-z A-Z < in.txt > out/data.txt && cp in.txt scores.json
    deps: [in.txt]
    outs: [out/data.txt]
    metrics: [{scores.json: {cache: false}}]
  count:
    cmd: wc -c < out/data.txt > count.txt
    deps: [out/data.txt]
    outs: [count.txt]
"""


def test_a_pipeline_runs_and_gives_what_belongs_into_git(bench):
    assert bench.run({"dvc.yaml": TWO, "in.txt": "hello\n"}) == "succeeded"
    _, _, files, entries, why = bench.told.ends[0]
    assert why is None
    assert files == {"scores.json": b"hello\n", ".gitignore": b"/count.txt\n", "out/.gitignore": b"/data.txt\n"}
    assert entries["count"]["deps"][0]["md5"] == entries["make"]["outs"][0]["md5"]
    assert bench.objects.read(entries["count"]["outs"][0]["md5"]).strip() == b"6"
    assert bench.told.course("make")[-2:] == ["running", "succeeded"]


def test_nothing_of_a_run_is_left_in_the_work_folder(bench):
    bench.run({"dvc.yaml": TWO, "in.txt": "hello\n"})
    until = time.monotonic() + 5
    while [path.name for path in (bench.root / "work").iterdir()] != ["ended.fifo"]:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert "$ wc -c < out/data.txt > count.txt" in bench.kept["count", 1]


def test_a_stage_below_a_changed_one_is_cached_when_its_inputs_turn_out_the_same(bench):
    bench.run({"dvc.yaml": TWO, "in.txt": "hello\n"})
    bench.told.heard.clear()
    assert bench.run({"in.txt": "HELLO\n"}) == "succeeded"
    assert bench.told.course("make")[-1] == "succeeded"
    assert bench.told.course("count") == ["cached"]
    assert set(bench.told.ends[1][3]) == {"make", "count"}


def test_a_command_sees_a_checkout_with_its_commit_and_nothing_of_ours(bench, monkeypatch):
    monkeypatch.setenv("REFMILL_SECRET", "shown")
    look = "git rev-parse HEAD > seen && git status --porcelain -uno >> seen && env | sort >> seen && cat < /dev/stdin >> seen"
    pipeline = f"stages:\n  look:\n    cmd: {look}\n    wdir: sub\n    outs: [{{seen: {{cache: false}}}}]\n"
    assert bench.run({"dvc.yaml": pipeline, "x": "1"}) == "succeeded", bench.kept
    sha, *lines = bench.told.ends[0][2]["sub/seen"].decode().splitlines()
    seen = dict(line.split("=", 1) for line in lines)
    assert sha == bench.git("rev-parse", "HEAD")
    assert seen["DVC_STAGE"] == "look"
    assert seen["PWD"] == seen["DVC_ROOT"] + "/sub"
    assert "REFMILL_SECRET" not in seen


def test_settings_reach_the_command(bench):
    pipeline = (
        'stages:\n  look:\n    cmd: echo "$WHO $CUDA_VISIBLE_DEVICES" > seen\n    outs: [{seen: {cache: false}}]\n'
    )
    bench.engine(budget=Budget(1.0, 4 << 30, gpus=2))
    bench.run({"dvc.yaml": pipeline}, {"look": StageSettings(gpu=2, env={"WHO": "me"})})
    assert bench.told.ends[0][2]["seen"] == b"me 0,1\n"


def test_old_outputs_are_gone_and_persistent_ones_are_back(bench):
    pipeline = textwrap.dedent("""
        stages:
          grow:
            cmd: ls plain 2>/dev/null > seen; echo $STEP >> kept; touch plain
            deps: [in]
            outs:
              - kept: {persist: true}
              - plain: {cache: false}
              - seen: {cache: false}
    """)
    bench.run({"dvc.yaml": pipeline, "in": "1", "plain": "old"}, {"grow": StageSettings(env={"STEP": "one"})})
    _, _, files, entries, _ = bench.told.ends[0]
    assert files["seen"] == b""
    lock = f"schema: '2.0'\nstages:\n  grow:\n    cmd: x\n    deps: []\n    outs:\n    - path: kept\n      hash: md5\n      md5: {entries['grow']['outs'][0]['md5']}\n      size: 4\n"
    bench.run({"dvc.lock": lock, "in": "2"}, {"grow": StageSettings(env={"STEP": "two"})})
    assert bench.objects.read(bench.told.ends[1][3]["grow"]["outs"][0]["md5"]) == b"one\ntwo\n"


def test_tracked_data_and_parts_of_directories_are_brought(bench):
    md5 = bench.objects.write(b"raw\n")
    pipeline = textwrap.dedent("""
        stages:
          split:
            cmd: mkdir -p parts && cp raw.bin parts/a && chmod +x parts/a && echo b > parts/b
            deps: [raw.bin]
            outs: [parts]
          use:
            cmd: cat parts/a > copy
            deps: [parts/a]
            outs: [copy]
    """)
    data = f"outs:\n- md5: {md5}\n  size: 4\n  hash: md5\n  path: raw.bin\n"
    assert bench.run({"dvc.yaml": pipeline, "raw.bin.dvc": data, ".gitignore": "/raw.bin\n"}) == "succeeded"
    entries = bench.told.ends[0][3]
    assert entries["use"]["deps"][0] == {"path": "parts/a", "hash": "md5", "md5": md5, "size": 4}
    assert bench.objects.read(entries["use"]["outs"][0]["md5"]) == b"raw\n"


def test_stages_run_side_by_side_within_the_budget(bench):
    pipeline = "stages:\n" + "".join(
        f"  s{i}:\n    cmd: date +%s%N > a{i}; sleep 0.4; date +%s%N >> a{i}\n    outs: [{{a{i}: {{cache: false}}}}]\n"
        for i in range(4)
    )
    bench.engine(budget=Budget(2.0, 8 << 30))
    bench.run({"dvc.yaml": pipeline})
    spans = sorted(
        tuple(map(int, content.split())) for path, content in bench.told.ends[0][2].items() if path[0] == "a"
    )
    marks = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    together = 0
    assert max(together := together + step for _, step in marks) == 2


def test_the_memory_limit_of_a_stage_is_the_default_when_it_asks_for_none(bench):
    hog = "python -c 'x = bytearray(80 << 20); import time; time.sleep(5)'"
    bench.engine(defaults=Defaults(memory=64 << 20))
    assert bench.run({"dvc.yaml": f"stages:\n  hog:\n    cmd: {hog}\n    outs: [x]\n"}) == "failed"
    assert str(bench.told.ends[0][4]) == "hog ran out of its 64 MiB of memory: try 128 MiB"
    assert bench.told.last("hog").usage.peak_memory > 64 << 20
