"""Ten projects, each run by `dvc repro`, by `refmill run` and by a push: the same bytes everywhere."""

import shutil
from pathlib import Path

import pytest

from platforms import REFMILL, Copy, Platform, new_copy

ONE = "stages:\n  {name}:\n    cmd: {cmd}\n"
PROJECTS: dict[str, dict[str, str]] = {
    "chain": {
        "dvc.yaml": "stages:\n"
        "  a: {cmd: cp in.txt a.txt, deps: [in.txt], outs: [a.txt]}\n"
        "  b: {cmd: cp a.txt b.txt, deps: [a.txt], outs: [b.txt]}\n"
        "  c: {cmd: cat a.txt b.txt > c.txt, deps: [a.txt, b.txt], outs: [c.txt]}\n",
        "in.txt": "one\n",
    },
    "listed backwards": {
        "dvc.yaml": "stages:\n"
        "  last: {cmd: cp b.txt c.txt, deps: [b.txt], outs: [c.txt]}\n"
        "  middle: {cmd: cp a.txt b.txt, deps: [a.txt], outs: [b.txt]}\n"
        "  first: {cmd: cp in.txt a.txt, deps: [in.txt], outs: [a.txt]}\n",
        "in.txt": "one\n",
    },
    "foreach over a dict": {
        "dvc.yaml": "stages:\n  fit:\n    foreach:\n      rf: {depth: 3}\n      gb: {depth: 5}\n    do:\n"
        "      cmd: mkdir -p models && echo ${key} ${item.depth} > models/${key}.txt\n"
        "      deps: [in.txt]\n      outs:\n        - models/${key}.txt\n",
        "in.txt": "x\n",
    },
    "matrix": {
        "dvc.yaml": "stages:\n  grid:\n    matrix:\n      a: [1, 2]\n      b: [x, y]\n"
        "    cmd: echo ${item.a}${item.b} > ${key}.txt\n    deps: [in.txt]\n    outs:\n      - ${key}.txt\n",
        "in.txt": "x\n",
    },
    "parameters in YAML, JSON and TOML": {
        "dvc.yaml": "stages:\n  use:\n    cmd: echo done > out.txt\n    params:\n      - lr\n      - net.layers\n"
        "      - other.json:\n          - deep.value\n      - third.toml:\n    outs: [out.txt]\n",
        "params.yaml": "lr: 1e-3\nnet:\n  layers: [1, 2]\n  name: yes\n",
        "other.json": '{"deep": {"value": 1.5}}',
        "third.toml": "[top]\nkey = true\n",
    },
    "directories": {
        "dvc.yaml": "stages:\n  split: {cmd: mkdir -p out/sub && cp raw/a out/a && cp raw/b out/sub/b, deps: [raw], outs: [out]}\n"
        "  count: {cmd: find out -type f | sort | wc -l > n.txt, deps: [out], outs: [n.txt]}\n",
        "raw/a": "a\n",
        "raw/b": "b\n",
    },
    "metrics and plots in git": {
        "dvc.yaml": "stages:\n  eval:\n    cmd: sh eval.sh\n    deps: [eval.sh]\n    outs: [model.txt]\n"
        "    metrics:\n      - metrics.json:\n          cache: false\n"
        "    plots:\n      - plots/loss.csv:\n          cache: false\n          x: step\n",
        "eval.sh": 'mkdir -p plots; echo m > model.txt; echo \'{"acc": 0.5}\' > metrics.json; printf "step,loss\\n1,2\\n" > plots/loss.csv\n',
    },
    "wdir": {
        "dvc.yaml": "stages:\n  inside:\n    wdir: work\n    cmd: cp ../in.txt here.txt && cp own.txt too.txt\n"
        "    deps: [../in.txt, own.txt]\n    outs: [here.txt, too.txt]\n"
        "  outside: {cmd: cp work/here.txt end.txt, deps: [work/here.txt], outs: [end.txt]}\n",
        "in.txt": "x\n",
        "work/own.txt": "y\n",
    },
    "vars and several commands": {
        "dvc.yaml": "vars:\n  - names.yaml\n  - greeting: hello\nstages:\n  say:\n    cmd:\n      - echo ${greeting} ${who} > a.txt\n"
        "      - cat a.txt a.txt > b.txt\n    deps: [names.yaml]\n    outs: [a.txt, b.txt]\n",
        "names.yaml": "who: world\n",
    },
    "names with blanks and other scripts": {
        "dvc.yaml": "stages:\n  odd:\n    cmd: cp 'in put.txt' 'résultat ü.txt' && cp 'in put.txt' 数据.txt\n"
        "    deps: ['in put.txt']\n    outs: ['résultat ü.txt', 数据.txt]\n",
        "in put.txt": "x\n",
    },
}  # fmt: skip


def results(copy: Copy) -> dict[str, bytes]:
    """What a run leaves in a working copy that git would see, but for the metrics' own folder."""
    listed = copy.git(
        "-c", "core.quotePath=false", "ls-files", "--others", "--modified", "--exclude-standard", "-z"
    ).stdout
    return {path: (copy.path / path).read_bytes() for path in listed.split("\0") if path}


def cached(copy: Copy) -> set[str]:
    """The cache and the run-cache."""
    cache = copy.path / ".dvc" / "cache"
    return {str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file()}


@pytest.mark.parametrize("project", PROJECTS)
def test_a_run_and_a_push_leave_what_dvc_repro_leaves(
    project: str, platform: Platform, name: str, tmp_path: Path
) -> None:
    oracle = new_copy(tmp_path / "oracle", PROJECTS[project])
    pushed = Copy(tmp_path / "pushed")
    here = Copy(tmp_path / "here")
    for copy in (pushed, here):
        shutil.copytree(oracle.path, copy.path)
    pushed.git("remote", "add", "origin", platform.url(f"alice/{name}", "alice"))
    pushed.git("push", "--quiet", "origin", "main")
    oracle.dvc("repro", "--quiet")
    wanted = results(oracle)
    assert "dvc.lock" in wanted

    done = here.run(REFMILL, "run", "-j", "3")
    assert results(here) == wanted, done.stdout
    assert cached(here) == cached(oracle)
    assert "up to date" in here.dvc("repro").stdout
    assert "nothing to run" in here.run(REFMILL, "run").stdout

    run = platform.ended(f"alice/{name}")
    assert run["status"] == "succeeded", platform.log()[-3000:]
    assert recorded(pushed) == wanted


def recorded(copy: Copy) -> dict[str, bytes]:
    """What the run's experiment adds to the commit."""
    copy.git("fetch", "--quiet", "origin", "refs/exps/*:refs/exps/*")
    ref = copy.git("for-each-ref", "--format=%(refname)", "refs/exps").stdout.strip()
    listed = copy.git("diff", "--name-only", "-z", "main", ref).stdout
    return {path: copy.bytes_of("git", "show", f"{ref}:{path}") for path in listed.split("\0") if path}
