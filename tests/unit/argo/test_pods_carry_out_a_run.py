"""Pods ask and tell, and the run's results are what the local engine would have recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from planted_runs import Ground
from played_pods import refused
from refmill import errors
from refmill.model.runs import Run
from refmill.ports.logs import LogPage
from refmill_web import places

FILES = {
    "dvc.yaml": """\
stages:
  prepare:
    cmd: mkdir -p parts/deep && echo one > parts/a.txt && echo two > parts/deep/b.txt && echo no > parts/x.tmp && echo said
    deps: [numbers.txt]
    outs: [parts]
  sum:
    wdir: sums
    cmd: cat ../parts/deep/b.txt ../numbers.txt > all.txt && echo '{"n":' $FACTOR '}' > metrics.json
    deps: [../parts/deep/b.txt, ../numbers.txt]
    params:
    - ../params.yaml: [n]
    outs:
    - all.txt
    metrics:
    - metrics.json:
        cache: false
  grow:
    cmd: echo more >> grown.txt
    deps: [sums/all.txt]
    outs:
    - grown.txt:
        persist: true
""",
    "params.yaml": "n: 1\n",
    "numbers.txt": "3\n1\n",
    ".dvcignore": "*.tmp\n",
    "refmill.yaml": """\
apiVersion: refmill/v1
kind: Pipeline
metadata: {name: project}
spec:
  stages:
    sum: {env: {FACTOR: "7"}, fuse: false}
    grow: {fuse: false}
""",
    "sums/.keep": "",
}


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def test_pods_carry_out_a_run(ground: Ground) -> None:
    run = ground.run(ground.repository(FILES))
    for number in (1, 2, 3):
        assert ground.pod(run, number).carry_out() == {"again": False, "attempt": 1}
    stages = ground.stages(run)
    assert {address: stage.status for address, stage in stages.items()} == dict.fromkeys(
        ("prepare", "sum", "grow"), "succeeded"
    )
    assert stages["prepare"].entry["outs"][0]["nfiles"] == 2, "what .dvcignore hides is none of it"
    assert [out["path"] for out in stages["sum"].entry["outs"]] == ["all.txt", "metrics.json"]
    assert stages["sum"].environment.count(":") == 3
    assert (stages["sum"].exit_code, stages["sum"].seconds, stages["sum"].usage.peak_memory) == (0, 0.5, 1000)
    objects = ground.parts.storage.objects(run.repository_id)
    metrics = next(out["md5"] for out in stages["sum"].entry["outs"] if out["path"] == "metrics.json")
    assert json.loads(objects.read(metrics)) == {"n": 7}


def test_network_that_the_operator_takes_from_all_stages_is_taken_from_pods(tmp_path: Path) -> None:
    """Without it a pod needs what `argo_networks` names, so that nothing else can have been compiled."""
    ground = Ground(tmp_path, {"network": False})
    repository = ground.repository(FILES)
    with pytest.raises(errors.WrongUse, match="may not use the network"):
        ground.run(repository)


def test_a_stage_whose_result_is_known_is_not_run_again(ground: Ground) -> None:
    repository = ground.repository(FILES)
    first = ground.run(repository)
    for number in (1, 2, 3):
        ground.pod(first, number).carry_out()
    ground.push(repository, {"dvc.yaml": FILES["dvc.yaml"].replace("mkdir -p", "echo again && mkdir -p")})
    second = ground.run(repository, attempt=2)
    ground.pod(second, 1).carry_out()
    pod = ground.pod(second, 2)
    pod.open()
    begun = pod.begin()
    assert begun["do"] == "cached"
    assert begun["outs"]["all.txt"]["md5"] == ground.stages(first)["sum"].entry["outs"][0]["md5"]
    assert ground.stages(second)["sum"].status == "cached"
    assert ground.stages(second)["sum"].entry == ground.stages(first)["sum"].entry
    assert pod.begin() == begun, "asked again, it says the same"
    # An output that persists: never out of the run-cache, and no dvc.lock has recorded one.
    last = ground.pod(second, 3)
    last.open()
    assert last.begin() == last.begin()
    assert (last.begin()["do"], last.begin()["persist"]) == ("run", {})


def test_what_a_persisting_output_held_is_given_back(ground: Ground) -> None:
    repository = ground.repository(FILES)
    md5 = ground.parts.storage.objects(repository.id).write(b"from before\n")
    lock = f"schema: '2.0'\nstages:\n  grow:\n    cmd: other\n    outs:\n    - path: grown.txt\n      hash: md5\n      md5: {md5}\n      size: 12\n"
    ground.push(repository, {"dvc.lock": lock})
    run = ground.run(repository)
    for number in (1, 2, 3):
        ground.pod(run, number).carry_out()
    made = ground.stages(run)["grow"].entry["outs"][0]["md5"]
    assert ground.parts.storage.objects(repository.id).read(made) == b"from before\nmore\n"


def test_a_stage_whose_inputs_are_still_to_come_does_not_begin(ground: Ground) -> None:
    run = ground.run(ground.repository(FILES))
    pod = ground.pod(run, 2)
    pod.open()
    with refused(409):
        pod.begin()
    assert ground.stages(run)["sum"].status == "pending"


def test_what_pods_print_is_on_the_page_of_the_live_log_and_kept(ground: Ground) -> None:
    run = ground.run(ground.repository(FILES))
    pod = ground.pod(run)
    pod.open()
    pod.begin()
    pod.log(b"2026-11-26T12:00:00.000000Z o first\n2026-11-26T12:00:01.000000Z o sec", 0)
    logs = _page(ground, run)
    assert [line.text for line in logs.lines] == ["first"]
    assert not logs.complete
    pod.log(b"ond", len(b"2026-11-26T12:00:00.000000Z o first\n2026-11-26T12:00:01.000000Z o sec"))
    pod.end(code=3, reason="failed")
    logs = _page(ground, run)
    assert [line.text for line in logs.lines] == ["first", "second", "ended with exit code 3"]
    assert logs.complete
    kept = list(ground.parts.settings.path("objects", "r", run.repository_id).rglob("logs/*.log"))
    assert [path.read_text().count("\n") for path in kept] == [3]


def _page(ground: Ground, run: Run) -> LogPage:
    return places.logs(ground.parts.settings).read(run, "prepare", 1)
