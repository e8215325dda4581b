"""What pushes, `refmill show`, `refmill runs` and a run's page tell: real reasons, attempts, commands to copy."""

import json
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

from platforms import DVC, REFMILL, Copy, Platform, new_copy, wait

CHAIN = {
    "dvc.yaml": "stages:\n"
    "  sort: {cmd: sort in.txt > a.txt, deps: [in.txt], outs: [a.txt]}\n"
    "  copy: {cmd: cp a.txt b.txt, deps: [a.txt], params: [k], outs: [b.txt]}\n"
    "  last: {cmd: cp b.txt c.txt, deps: [b.txt], outs: [c.txt]}\n",
    "in.txt": "2\n1\n",
    "params.yaml": "k: 1\n",
}  # fmt: skip
STAGES = ("sort", "copy", "last")
CYCLE = "stages:\n  a: {cmd: cp b a, deps: [b], outs: [a]}\n  b: {cmd: cp a b, deps: [a], outs: [b]}\n"


def reasons(platform: Platform, run: str) -> dict[str, list[str]]:
    stages = json.loads(platform.refmill("show", run, "--json"))["stages"]
    return {stage["name"]: stage["reasons"] for stage in stages}


def test_the_real_reasons_are_told_once_they_are_known(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str
) -> None:
    copy, repository, url = project(CHAIN), f"alice/{name}", platform.url(f"alice/{name}", "alice")
    copy.git("push", "--quiet", url, "main")
    platform.ended(repository)
    assert reasons(platform, f"{repository}#1") == {name: ["it has not run before"] for name in STAGES}
    copy.write({"in.txt": "3\n1\n", "params.yaml": "k: 2\n"}).commit("data and parameter")
    copy.git("push", "--quiet", url, "main")
    platform.ended(repository, 2)
    found = reasons(platform, f"{repository}#2")
    assert found["copy"] == ["params.yaml: k 1 → 2", "a.txt changed: 6ddb409 → 0a88863"]
    assert found["last"] == ["b.txt changed: 6ddb409 → 0a88863"]
    copy.write({"in.txt": "1\n3\n"}).commit("the same in another order")
    copy.git("push", "--quiet", url, "main")
    platform.ended(repository, 3)
    found = reasons(platform, f"{repository}#3")
    assert found["copy"] == found["last"] == ["an earlier run with the same inputs gave this result"]
    shown = platform.refmill("show", f"{repository}#2")
    assert "params.yaml: k 1 → 2; a.txt changed: 6ddb409 → 0a88863" in shown
    assert "in this run" not in shown
    platform.refmill("repo", "change", repository, "--public")
    with urllib.request.urlopen(f"{platform.address}/{repository}/runs/2?stage=last") as page:
        panel = page.read().decode()
    assert "<code>b.txt</code>" in panel.partition("Why it ran:")[2]
    assert "are made by" not in panel


def test_a_committed_lock_is_what_the_real_reasons_compare_with(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str
) -> None:
    copy, repository = project(CHAIN), f"alice/{name}"
    copy.dvc("repro", "--quiet")
    copy.write({"in.txt": "5\n"}).commit("results, and other data")
    copy.git("push", "--quiet", platform.url(repository, "alice"), "main")
    platform.ended(repository)
    assert reasons(platform, f"{repository}#1")["last"] == ["b.txt changed: 6ddb409 → 1dcca23"]
    again = json.loads(platform.refmill("retry", "--force", f"{repository}#1", "--json"))
    platform.ended(repository, again["number"])
    forced = reasons(platform, f"{repository}#{again['number']}")
    assert forced == {name: ["it was asked for"] for name in STAGES}


def answer(platform: Platform, copy: Copy, url: str, *flags: str) -> str:
    """What the pusher is told in the end: git's answer waits only for a moment, so what was made of it later counts."""
    said = copy.git("push", *flags, url, "main").stderr

    asked = (
        "SELECT state, answer FROM events JOIN repositories ON repositories.id = repository_id"
        " WHERE repositories.name = ? ORDER BY events.id DESC LIMIT 1"
    )
    name = url.rpartition("/")[2].removesuffix(".git")
    wait(lambda: platform.query(asked, name)[0][0] in ("handled", "void"), "the push is planned")
    ((_, told),) = platform.query(asked, name)
    return "\n".join([said, *json.loads(told)])


def test_a_push_lists_reasons_and_says_what_it_counts(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str
) -> None:
    files = {**CHAIN, "dvc.yaml": CHAIN["dvc.yaml"].partition("  copy")[0].replace("deps", "params: [k], deps")}
    copy, repository, url = project(files), f"alice/{name}", platform.url(f"alice/{name}", "alice")
    copy.git("push", "--quiet", url, "main")
    platform.ended(repository)
    copy.write({"in.txt": "5\n", "params.yaml": "k: 2\n"}).commit("two things")
    assert "sort: params.yaml: k 1 → 2; in.txt changed: cb0e939 → 1dcca23" in answer(platform, copy, url)
    platform.ended(repository, 2)
    copy.write({"in.txt": "6\n", "params.yaml": "k: 3\n"})
    copy.write({"dvc.yaml": files["dvc.yaml"].replace("sort in.txt", "sort -r in.txt")}).commit("three things")
    assert "(and 1 more reason)" in answer(platform, copy, url)


def test_a_dependency_that_is_not_there_is_told_once_with_the_name_that_was_meant(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str
) -> None:
    stages = CHAIN["dvc.yaml"].replace("deps: [in.txt]", "deps: [data/inn.txt]")
    copy = project({**CHAIN, "dvc.yaml": stages.replace("[b.txt], outs: [c.txt]", "[bb.txt], outs: [c.txt]")})
    copy.write({"data/in.txt": "1\n", "data/other.csv": "1\n"}).commit("data")
    url = platform.url(f"alice/{name}", "alice")
    told = answer(platform, copy, url)
    assert "Did you mean “data/in.txt”? If not, bring it: `git add data/inn.txt`" in told
    assert "Did you mean “b.txt”?" in told
    assert "is a new dependency" not in told
    copy.write({"dvc.yaml": CHAIN["dvc.yaml"].replace("deps: [in.txt]", "deps: [else.csv]")}).commit("another")
    said = copy.git("push", url, "main").stderr
    assert said.count("“else.csv” is neither in git") == 1
    copy.write({"dvc.yaml": CHAIN["dvc.yaml"].replace("deps: [in.txt]", "deps: [forgotten.csv]")}).commit("forgotten")
    done = copy.run(REFMILL, "validate")
    assert "Look whether the name is right. If it is, bring the file: `git add forgotten.csv`" in done.stderr


def test_a_broken_pipeline_that_was_taken_in_is_said_to_run_nothing(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str
) -> None:
    copy, url = project({"dvc.yaml": CYCLE}), platform.url(f"alice/{name}", "alice")
    warn = ("-o", "refmill.validate=warn")
    why = "dvc.yaml:2:3: These need each other, so that none can start: a → b → a"
    first = copy.git("push", *warn, url, "main").stderr
    assert "nothing of it can run" in first
    assert why in first
    for change in ("notes.txt", "params.yaml"):
        copy.write({change: "more: 1\n"}).commit("something else")
        said = copy.git("push", *warn, url, "main").stderr
        assert f"no run, and none until this is mended: {why}" in said
        assert "planning" not in said
    copy.write({"dvc.yaml": CYCLE + "  c: {cmd: c, dep: [c]}\n"}).commit("worse")
    assert "planning" not in copy.git("push", *warn, url, "main").stderr
    copy.write({"notes.txt": "other\n"}).commit("something else")
    assert "none until this and 1 more problem are mended" in copy.git("push", *warn, url, "main").stderr
    platform.chooses("alice", "zh")
    try:
        copy.write({"notes.txt": "again\n"}).commit("something else")
        assert "没有运行，在修正此问题及另外 1 个问题之前也不会有" in copy.git("push", *warn, url, "main").stderr
    finally:
        platform.chooses("alice", "en")


def test_one_broken_project_of_several_leaves_the_others_to_run(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str
) -> None:
    copy, url = project({**CHAIN, "sub/dvc.yaml": CYCLE, "sub/.dvc/config": ""}), platform.url(f"alice/{name}", "alice")
    said = copy.git("push", "-o", "refmill.validate=warn", url, "main").stderr
    assert "what is broken cannot run" in said
    assert platform.ended(f"alice/{name}")["status"] == "succeeded"


def test_attempts_are_told_apart(platform: Platform, project: Callable[[dict[str, str]], Copy], name: str) -> None:
    copy, repository = project(CHAIN), f"alice/{name}"
    copy.git("push", "--quiet", platform.url(repository, "alice"), "main")
    platform.ended(repository)
    assert "attempt" not in platform.refmill("runs", repository)
    platform.refmill("retry", "--force", f"{repository}#1")
    platform.ended(repository, 2)
    platform.refmill("retry", f"{repository}#2", "-S", "k=7")
    platform.ended(repository, 3)
    heading, *rows = (line.split() for line in platform.refmill("runs", repository).splitlines())
    assert heading[4:6] == ["attempt", "parameters"]
    assert [row[0].partition("#")[2] for row in rows] == ["3", "2", "1"]
    assert rows[0][4] == "k=7"
    assert rows[1][4] == "2"
    assert f"attempt 2, after {repository}#1" in platform.refmill("show", f"{repository}#2")
    assert "attempt" not in platform.refmill("show", f"{repository}#1")
    chinese = Platform(platform.data, {"REFMILL_LANG": "zh"})
    assert f"第 2 次尝试，在 {repository}#1 之后" in chinese.refmill("show", f"{repository}#2")
    listed = chinese.refmill("runs", repository)
    assert "成功" in listed
    assert "succeeded" not in listed


def test_the_line_that_brings_an_experiment_works_in_any_clone(
    platform: Platform, project: Callable[[dict[str, str]], Copy], name: str, tmp_path: Path
) -> None:
    copy, repository, url = project(CHAIN), f"alice/{name}", platform.url(f"alice/{name}", "alice")
    copy.git("push", "--quiet", url, "main")
    platform.ended(repository)
    command = [REFMILL, "show", f"{repository}#1", "--data", str(platform.data)]

    def line(folder: Path) -> str:
        shown = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
        return next(item for item in shown.splitlines() if item.startswith("experiment "))

    address = f"{platform.address}/{repository}.git"
    assert f": dvc exp pull {address} run-1 && dvc exp apply run-1" in line(tmp_path)
    copy.git("remote", "add", "github", "https://github.com/alice/copy.git")
    copy.git("remote", "add", "work", url)
    assert ": dvc exp pull work run-1 && dvc exp apply run-1" in line(copy.path)
    stranger = new_copy(tmp_path / "stranger", {"a.txt": ""})
    stranger.git("fetch", "--quiet", url, "main")
    stranger.git("checkout", "--quiet", "FETCH_HEAD")
    pulled = stranger.run(DVC, "exp", "pull", "--no-cache", url, "run-1")
    assert "run-1" in pulled.stdout + stranger.dvc("exp", "list", "--all-commits").stdout
