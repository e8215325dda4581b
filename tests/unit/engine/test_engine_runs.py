"""Whole runs through the engine, with real processes."""

from __future__ import annotations

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
