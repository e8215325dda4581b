"""`refmill run` in a working copy, beside the real `dvc` in a copy of it: the same stages, the same bytes."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from platforms import REFMILL, Copy, new_copy, wait

CHAIN = {
    "dvc.yaml": "stages:\n"
    "  a: {cmd: cp in.txt a.txt, deps: [in.txt], outs: [a.txt]}\n"
    "  b: {cmd: cp a.txt b.txt, deps: [a.txt], params: [k], outs: [b.txt]}\n"
    "  c: {cmd: cat a.txt b.txt > c.txt, deps: [a.txt, b.txt], outs: [c.txt]}\n"
    "  other: {cmd: echo x > o.txt, deps: [in.txt], outs: [o.txt]}\n",
    "in.txt": "one\n",
    "params.yaml": "# how many\nk: 1   # so many\nm:\n  - x\n",
}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path) -> Copy:
    return new_copy(tmp_path / "here", CHAIN)


def twin(copy: Copy) -> Copy:
    """The same working copy once more, for the real dvc."""
    other = Copy(copy.path.with_name("oracle"))
    shutil.copytree(copy.path, other.path)
    return other


def run(copy: Copy, *arguments: str, check: bool = True) -> dict[str, str]:
    """The stages of `refmill run --json`, each with how it ended."""
    done = copy.run(REFMILL, "run", "--json", *arguments, check=check)
    return json.loads(done.stdout)["stages"]


def reproduced(copy: Copy, *arguments: str) -> set[str]:
    """The stages whose commands `dvc repro` starts."""
    return set(re.findall(r"^Running stage '(.+)':$", copy.dvc("repro", *arguments).stdout, re.MULTILINE))


def lock(copy: Copy) -> bytes:
    return (copy.path / "dvc.lock").read_bytes()


def test_named_stages_run_with_what_they_need(here: Copy) -> None:
    assert run(here, "b") == {"a": "succeeded", "b": "succeeded"}
    assert run(here, "c.txt") == {"a": "cached", "b": "cached", "c": "succeeded"}


def test_a_single_item_runs_alone(here: Copy) -> None:
    run(here)
    oracle = twin(here)
    for copy in (here, oracle):
        copy.write({"in.txt": "two\n"})
    assert run(here, "-s", "b") == {"b": "cached"}
    assert reproduced(oracle, "-s", "b") == set()
    assert run(here, "-s", "a") == {"a": "succeeded"}
    assert reproduced(oracle, "-s", "a") == {"a"}
    assert lock(here) == lock(oracle)
    for copy in (here, oracle):
        copy.write({"params.yaml": "k: 2\n"})
    assert run(here, "-s", "b", "other") == {"b": "succeeded", "other": "succeeded"}
    assert reproduced(oracle, "-s", "b", "other") == {"b", "other"}
    assert lock(here) == lock(oracle)


def test_downstream_leaves_out_what_stands_above(here: Copy) -> None:
    run(here)
    oracle = twin(here)
    for copy in (here, oracle):
        copy.write({"in.txt": "two\n", "params.yaml": "k: 2\n"})
    assert run(here, "--downstream", "b") == {"b": "succeeded", "c": "cached"}
    oracle.dvc("repro", "--downstream", "b")
    assert lock(here) == lock(oracle)


def test_force_runs_again_what_is_named_and_what_it_needs(here: Copy) -> None:
    here.write({"dvc.yaml": CHAIN["dvc.yaml"].replace("echo x > o.txt", "cat drawn > o.txt"), "drawn": "1\n"})
    run(here)
    oracle = twin(here)
    for drawn, words in enumerate([("-f", "b"), ("-f", "-s", "b"), ("-f", "other"), ("--force",)]):
        for copy in (here, oracle):
            copy.write({"drawn": f"{drawn}\n"})
        ran = run(here, *words)
        assert set(ran.values()) == {"succeeded"}
        assert ran.keys() == reproduced(oracle, *words)
        assert lock(here) == lock(oracle)
    assert ran.keys() == {"a", "b", "c", "other"}


def test_dry_says_what_would_run_and_changes_nothing(here: Copy) -> None:
    shown = here.run(REFMILL, "run", "--dry").stdout
    assert "it has not run before" in shown
    assert not (here.path / "dvc.lock").exists()
    assert not (here.path / "a.txt").exists()


def test_parameters_are_set_as_dvc_sets_them(here: Copy) -> None:
    run(here)
    oracle = twin(here)
    assert run(here, "-S", "k=7", "-S", "+new.deep=true") == {
        "a": "cached", "b": "succeeded", "c": "cached", "other": "cached",
    }  # fmt: skip
    oracle.dvc("exp", "run", "-S", "k=7", "-S", "+new.deep=true")
    assert (here.path / "params.yaml").read_bytes() == (oracle.path / "params.yaml").read_bytes()
    assert lock(here) == lock(oracle)


def test_a_result_becomes_an_experiment_when_dvc_is_told_to_save_it(here: Copy) -> None:
    run(here)
    here.commit("the result before")
    run(here, "-S", "k=7")
    assert not here.dvc("exp", "list", "--name-only").stdout.split(), "a run here makes none by itself"
    here.dvc("exp", "save", "--name", "seven")
    here.git("checkout", "--quiet", ".")
    here.dvc("exp", "apply", "seven")
    assert here.dvc("exp", "list", "--name-only").stdout.split() == ["seven"]
    assert "k: 7 " in (here.path / "params.yaml").read_text()
    assert here.dvc("status").stdout == "Data and pipelines are up to date.\n"
    assert set(run(here).values()) == {"cached"}


@pytest.mark.parametrize(
    ("words", "told"), [("nope=1", "nope"), ("no.yaml:a=1", "no.yaml"), ("../x.yaml:a=1", "outside"), ("k=[1", "k")]
)
def test_parameters_that_cannot_be_set_change_nothing(words: str, told: str, here: Copy) -> None:
    before = (here.path / "params.yaml").read_bytes()
    done = here.run(REFMILL, "run", "-S", words, check=False)
    assert done.returncode == 2 or "There is no parameter file" in done.stderr
    assert told in done.stderr
    assert (here.path / "params.yaml").read_bytes() == before
    assert [path.name for path in here.path.glob(".refmill*")] == []


def test_a_target_is_seen_from_where_one_stands(tmp_path: Path) -> None:
    inner = "stages:\n  a: {cmd: cp ../a.txt x.txt, deps: [../a.txt], outs: [x.txt]}\n"
    copy = new_copy(tmp_path / "here", {**CHAIN, "sub/dvc.yaml": inner})
    assert set(run(copy, "-C", "sub", "a")) == {"a", "sub/dvc.yaml:a"}
    assert set(run(copy, "sub/dvc.yaml")) == {"a", "sub/dvc.yaml:a"}
    missing = copy.run(REFMILL, "run", "nobody", check=False)
    assert missing.returncode != 0
    assert "nobody" in missing.stderr


def test_the_run_cache_can_be_left_out(here: Copy) -> None:
    run(here)
    (here.path / "dvc.lock").unlink()
    assert set(run(here).values()) == {"cached"}
    (here.path / "dvc.lock").unlink()
    assert set(run(here, "--no-run-cache").values()) == {"succeeded"}


def test_what_does_not_hang_on_a_failure_goes_on_when_asked(here: Copy) -> None:
    here.write({"dvc.yaml": CHAIN["dvc.yaml"].replace("cp in.txt a.txt", "exit 3")})
    done = here.run(REFMILL, "run", "-k", "--json", check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["stages"] == {"a": "failed", "b": "skipped", "c": "skipped", "other": "succeeded"}


def test_changed_data_are_taken_in_as_dvc_does(tmp_path: Path) -> None:
    files = {"dvc.yaml": "stages:\n  s: {cmd: cat data/* > s.txt, deps: [data], outs: [s.txt]}\n",
             "data/a": "1\n", "data/b": "2\n"}  # fmt: skip
    here = new_copy(tmp_path / "here", {"dvc.yaml": files["dvc.yaml"]})
    here.write({"data/a": "1\n", "data/b": "2\n"})
    here.dvc("add", "--quiet", "data")
    here.write({"data.dvc": "# where it comes from\n" + (here.path / "data.dvc").read_text()})
    here.dvc("repro", "--quiet")
    here.commit()
    oracle = twin(here)
    for copy in (here, oracle):
        copy.write({"data/c": "3\n"})
    assert "data changed" in here.run(REFMILL, "plan").stdout
    assert run(here) == {"s": "succeeded"}
    oracle.dvc("repro", "--quiet")
    for name in ("data.dvc", "dvc.lock", "s.txt"):
        assert (here.path / name).read_bytes() == (oracle.path / name).read_bytes()
    assert "up to date" in here.dvc("status").stdout


def test_git_is_told_of_what_was_written_where_dvc_is_to_tell_it(tmp_path: Path) -> None:
    stages = (
        "stages:\n  a: {cmd: cat *.txt > a.out; cp a.out m, deps: [in.txt, data.txt], outs: [a.out, m: {cache: false}]}\n"
        "  b: {cmd: cp a.out sub/b.out, deps: [a.out], outs: [sub/b.out]}\n"
    )
    here = new_copy(tmp_path / "here", {"dvc.yaml": stages, "in.txt": "1\n", "sub/x": ""})
    here.dvc("config", "core.autostage", "true")
    here.write({"data.txt": "1\n"})
    here.dvc("add", "--quiet", "data.txt")
    here.commit()
    oracle = twin(here)
    for changes in ({}, {"data.txt": "2\n"}, {"in.txt": "2\n", "dvc.yaml": stages.replace("cp a.out s", "exit 1; s")}):
        for copy in (here, oracle):
            copy.write(changes)
            copy.git("commit", "--quiet", "--allow-empty", "--all", "--message", "a change")
        here.run(REFMILL, "run", "-j1", check="in.txt" not in changes)
        oracle.dvc("repro", "--quiet", check="in.txt" not in changes)
        assert here.git("status", "--short").stdout == oracle.git("status", "--short").stdout
        assert ("M  dvc.lock" in here.git("status", "--short").stdout) == ("data.txt" in changes)


LINKED = """\
stages:
  one: {cmd: cp in.txt out.txt, deps: [in.txt], outs: [out.txt]}
  dir: {cmd: mkdir -p d && cat out.txt out.txt > d/x, deps: [out.txt], outs: [d]}
  keep: {cmd: cat in.txt >> kept.txt, deps: [in.txt], outs: [kept.txt: {persist: true}]}
  free: {cmd: "echo '{}' > m; cat d/x > f.txt", deps: [d], outs: [f.txt], metrics: [m: {cache: false}]}
  last: {cmd: cat d/x kept.txt > l.txt, deps: [d/x, kept.txt], outs: [l.txt]}
  cold: {cmd: cat l.txt > c.txt, deps: [l.txt], outs: [c.txt], frozen: true}
"""


@pytest.mark.parametrize("kind", ["hardlink", "symlink"])
def test_what_is_linked_from_the_cache_is_linked_as_by_dvc(kind: str, tmp_path: Path) -> None:
    copies = [new_copy(tmp_path / name, {"dvc.yaml": LINKED, "in.txt": "1\n"}) for name in ("here", "oracle")]
    here, oracle = copies
    for copy in copies:
        copy.dvc("config", "cache.type", kind)
        copy.write({"c.txt": "1\n"})
    for change in ("true", "echo 2 > in.txt", "rm out.txt l.txt", "rm out.txt dvc.lock; echo mine > out.txt"):
        for copy in copies:
            copy.run("sh", "-c", change)
        assert {stage for stage, status in run(here).items() if status == "succeeded"} == reproduced(oracle), change
        assert linked(here) == linked(oracle), change
        assert "up to date" in here.dvc("status").stdout, change
        assert "nothing to run: all" in here.run(REFMILL, "run").stdout, change


def linked(copy: Copy) -> dict[str, tuple[int, int, str]]:
    """The working copy and its cache: each file's mode, how many names it has, and where a link leads, or its bytes."""
    found = {}
    for path in sorted(copy.path.rglob("*")):
        name = path.relative_to(copy.path).as_posix()
        if not path.is_dir() and not name.startswith((".git/", ".dvc/tmp/", ".dvc/cache/runs/")):
            status = path.lstat()
            what = str(path.readlink()).replace(str(copy.path), "") if path.is_symlink() else path.read_text()
            found[name] = (status.st_mode, status.st_nlink, what)
    return found


def test_data_that_lack_come_from_the_cache_or_with_pull_from_the_remote(tmp_path: Path) -> None:
    here = new_copy(
        tmp_path / "here",
        {"dvc.yaml": "stages:\n  s: {cmd: cat data.txt data.txt > s.txt, deps: [data.txt], outs: [s.txt]}\n"},
    )
    here.write({"data.txt": "1\n"})
    here.dvc("add", "--quiet", "data.txt")
    here.dvc("remote", "add", "-d", "store", str(tmp_path / "store"))
    here.dvc("push", "--quiet")
    here.commit()
    (here.path / "data.txt").unlink()
    assert run(here) == {"s": "succeeded"}
    for path in ("data.txt", "s.txt"):
        (here.path / path).unlink()
    shutil.rmtree(here.path / ".dvc" / "cache")
    done = here.run(REFMILL, "run", check=False)
    assert done.returncode == 1
    assert "missing data" in done.stdout
    assert run(here, "--pull") == {"s": "succeeded"}


def test_a_command_may_use_dvc_itself(here: Copy) -> None:
    here.write({"dvc.yaml": "stages:\n  s: {cmd: dvc status -q; dvc params diff > s.txt, outs: [s.txt]}\n"})
    assert run(here) == {"s": "succeeded"}


def test_other_dvc_commands_keep_off_what_runs(here: Copy) -> None:
    waits = "while test ! -e go; do sleep 0.1; done; echo 1 > s.txt"
    here.write({"dvc.yaml": f"stages:\n  s:\n    cmd: {waits}\n    deps: [in.txt]\n    outs: [s.txt]\n"})
    ours = subprocess.Popen([REFMILL, "run"], cwd=here.path, stdout=subprocess.DEVNULL)
    rwlock = here.path / ".dvc" / "tmp" / "rwlock"
    wait(lambda: rwlock.exists() and "s.txt" in rwlock.read_text(), "the stage runs")
    here.dvc("params", "diff")
    busy = here.dvc("repro", check=False)
    assert busy.returncode != 0
    assert "busy" in busy.stderr
    here.write({"go": ""})
    assert ours.wait(30) == 0
    assert rwlock.read_text() == "{}"


def test_a_run_waits_for_nobody_for_long(here: Copy) -> None:
    (here.path / ".dvc" / "tmp").mkdir(exist_ok=True)
    holder = subprocess.Popen(
        ["python3", "-c", "import fcntl,time\nf=open('.dvc/tmp/lock','w')\nfcntl.flock(f,2)\nprint(1,flush=True)\ntime.sleep(60)"],
        cwd=here.path, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout is not None
    holder.stdout.readline()
    done = here.run(REFMILL, "run", check=False)
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert done.returncode == 1
    assert "another DVC or Refmill command" in done.stderr


def test_interrupted_stages_end_and_the_rest_is_recorded(here: Copy) -> None:
    slow = "trap 'echo bye > bye.txt; exit 1' INT; sleep 60 & wait; echo 1 > s.txt"
    here.write({
        "dvc.yaml": CHAIN["dvc.yaml"] + f'  slow: {{cmd: "{slow}", deps: [c.txt, o.txt], outs: [s.txt]}}\n',
    })  # fmt: skip
    ours = subprocess.Popen(
        [REFMILL, "run", "-j2"], cwd=here.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    rwlock = here.path / ".dvc" / "tmp" / "rwlock"
    wait(lambda: rwlock.exists() and "s.txt" in rwlock.read_text(), "the slow stage runs")
    time.sleep(0.3)  # the shell needs a moment until it traps
    ours.send_signal(signal.SIGINT)
    assert ours.wait(20) == 130
    assert ours.stdout is not None
    ours.stdout.close()
    wait((here.path / "bye.txt").exists, "the command was asked to end", 5)
    assert run(here, "c", "other") == {"a": "cached", "b": "cached", "c": "cached", "other": "cached"}
    assert "slow" in here.dvc("status").stdout
    assert "a:" not in here.dvc("status").stdout


def test_a_killed_run_goes_on_where_it_was(here: Copy) -> None:
    here.write({
        "dvc.yaml": CHAIN["dvc.yaml"] + "  slow: {cmd: sleep 3; echo 1 > s.txt, deps: [c.txt, o.txt], outs: [s.txt]}\n"
    })  # fmt: skip
    ours = subprocess.Popen([REFMILL, "run", "-j2"], cwd=here.path, stdout=subprocess.DEVNULL)
    rwlock = here.path / ".dvc" / "tmp" / "rwlock"
    wait(lambda: rwlock.exists() and "s.txt" in rwlock.read_text(), "the slow stage runs")
    time.sleep(0.2)
    ours.kill()
    ours.wait()
    refused = here.run(REFMILL, "run", check=False)
    assert refused.returncode == 1
    assert "slow" in refused.stderr
    assert "kill -- -" in refused.stderr
    os.killpg(int(refused.stderr.rpartition("kill -- -")[2].split()[0]), signal.SIGKILL)
    time.sleep(0.2)
    assert run(here) == {"a": "cached", "b": "cached", "c": "cached", "other": "cached", "slow": "succeeded"}
    assert "up to date" in here.dvc("status").stdout


def test_a_process_left_in_the_background_does_not_hold_its_stage(here: Copy) -> None:
    here.write({"dvc.yaml": "stages:\n  s: {cmd: sleep 30 & echo 1 > s.txt, outs: [s.txt]}\n"})
    began = time.monotonic()
    assert run(here) == {"s": "succeeded"}
    assert time.monotonic() - began < 20


def test_what_is_remembered_of_a_project_never_outlives_a_change(here: Copy) -> None:
    memory = here.path / ".dvc" / "tmp" / "refmill" / "resolution.json"
    run(here)
    run(here)
    kept = memory.stat().st_mtime_ns
    assert set(run(here).values()) == {"cached"}
    assert memory.stat().st_mtime_ns == kept
    changes = [
        {"params.yaml": "k: 5\n"},
        {"dvc.yaml": CHAIN["dvc.yaml"].replace("echo x", "echo y")},
        {"more/dvc.yaml": "stages:\n  d: {cmd: echo 1 > d.txt, deps: [../in.txt], outs: [d.txt]}\n"},
        {".gitignore": (here.path / ".gitignore").read_text() + "/more\n"},
        {".dvc/config": "[parsing]\n  bool = boolean_optional\n"},
        {"dvc.yaml": "vars: [v.json]\n" + CHAIN["dvc.yaml"], "v.json": "{}"},
        {"v.json": '{"w": 1}'},
    ]  # fmt: skip
    for change in changes:
        here.write(change)
        told = run(here)
        assert memory.stat().st_mtime_ns != kept, change
        kept = memory.stat().st_mtime_ns
        assert ("more/dvc.yaml:d" in told) == ("more" in str(change) and ".gitignore" not in change), change
    memory.write_text(memory.read_text().replace('"schema"', '"'))
    memory.write_text("{}")
    assert set(run(here).values()) == {"cached"}


def test_what_is_put_back_is_told(here: Copy) -> None:
    run(here)
    (here.path / "c.txt").unlink()
    here.write({"o.txt": "of another hand\n"})
    done = here.run(REFMILL, "run")
    assert done.stdout.splitlines()[-1] == "nothing to run: the outputs of 2 stages are put back from the cache"
    assert "other  nothing it depends on changed; its outputs are put back" in done.stdout
    assert (here.path / "o.txt").read_text() == "x\n"
    assert here.run(REFMILL, "run").stdout == "nothing to run: all 4 stages are up to date\n"


def test_all_that_makes_a_stage_run_is_told_and_what_stops_the_others(here: Copy) -> None:
    run(here)
    here.write({"in.txt": "two\n", "params.yaml": "k: 2\n"})
    here.write({"dvc.yaml": CHAIN["dvc.yaml"].replace("cp a.txt b.txt", "exit 1")})
    told = here.run(REFMILL, "run", "-j", "1", check=False).stdout
    reasons = next(line for line in told.splitlines() if line.startswith("◔ b "))
    assert reasons.count(";") == 1
    assert reasons.endswith("(and 1 more reason)")
    assert "– c      b did not succeed" in told


def test_the_words_of_all_lines_begin_in_one_column(here: Copy) -> None:
    here.write({"dvc.yaml": CHAIN["dvc.yaml"].replace("cp a.txt b.txt", "cp a.txt b.txt; echo printed")})
    told = here.run(REFMILL, "run", "-j", "1").stdout.splitlines()[:-1]
    assert {line[7:9] for line in told} == {"  "}, told
    assert not any(line[9:].startswith(" ") for line in told), told
    assert "  b      printed" in told


def test_what_runs_is_said_in_the_chosen_language(here: Copy) -> None:
    chinese = ["env", "REFMILL_LANG=zh", REFMILL]
    assert here.run(*chinese, "run").stdout.splitlines()[-1].startswith("成功，用时 ")
    planned = here.run(*chinese, "plan").stdout + here.run(*chinese, "run", "--dry").stdout
    assert "已缓存" in planned
    assert "cached" not in planned


def test_a_misspelt_stage_is_told_with_those_that_look_like_it(here: Copy) -> None:
    many = "stages:\n  train:\n    matrix: {model: [rf, logit], size: [small, large]}\n    cmd: echo ${item.model}\n"
    here.write({"dvc.yaml": many})
    for word, meant in (("trian", "Did you mean “train”?"), ("train@rf-smal", "train@rf-small, train@rf-large")):
        done = here.run(REFMILL, "run", word, check=False)
        assert (done.returncode, meant in done.stderr) == (2, True), done.stderr


def test_a_misspelt_parameter_is_told_with_the_one_that_was_meant(here: Copy) -> None:
    here.write({"params.yaml": "k: 1\ntrain: {lr: 0.1}\n", "more.yaml": "rate: 1\n"})
    before = (here.path / "params.yaml").read_bytes()
    for flags in ((), ("--dry",)):
        done = here.run(REFMILL, "run", "-S", "train.lrr=0.2", *flags, check=False)
        assert done.returncode == 2
        assert "Did you mean “train.lr”?" in done.stderr
        assert "-S +train.lrr=0.2" in done.stderr
        done = here.run(REFMILL, "run", "-S", "more.yaml:raet=2", *flags, check=False)
        assert "Did you mean “rate”?" in done.stderr
        assert "-S more.yaml:+raet=2" in done.stderr
        done = here.run(REFMILL, "run", "-S", "~train.lrr", *flags, check=False)
        assert "Did you mean “train.lr”?" in done.stderr
        done = here.run(REFMILL, "run", "-S", "absent.yaml:k=2", *flags, check=False)
        assert "There is no parameter file “absent.yaml”" in done.stderr
    assert (here.path / "params.yaml").read_bytes() == before


def test_a_dry_run_with_other_parameters_says_what_they_would_run_and_changes_nothing(here: Copy) -> None:
    run(here)
    here.commit("run")
    done = here.run(REFMILL, "run", "--dry", "--json", "-S", "k=2")
    found = {
        item["name"]: (item["verdict"], item["reasons"][0]["message"]) for item in json.loads(done.stdout)["stages"]
    }
    assert found["b"] == ("run", "params.yaml: k 1 → 2")
    assert {name: verdict for name, (verdict, _) in found.items() if name != "b"} == {
        "a": "cached", "c": "later", "other": "cached",
    }  # fmt: skip
    assert here.git("status", "--short").stdout == ""
    assert run(here, "-S", "k=2")["b"] == "succeeded"
    dry = json.loads(here.run(REFMILL, "run", "--dry", "--json", "-S", "k=1").stdout)["stages"]
    assert {item["verdict"] for item in dry} == {"cached"}, "the run-cache knows both"
    broken = here.run(REFMILL, "run", "--dry", "-S", "~k", check=False)
    assert (broken.returncode, "There is no parameter “k”" in broken.stderr) == (3, True)


def test_a_dependency_that_is_not_there_is_one_reason(here: Copy) -> None:
    run(here)
    here.write(
        {"dvc.yaml": CHAIN["dvc.yaml"].replace("deps: [in.txt], outs: [a.txt]", "deps: [inn.txt], outs: [a.txt]")}
    )
    told = here.run(REFMILL, "plan").stdout
    assert "inn.txt does not exist" in told
    assert "inn.txt is a new dependency" not in told
