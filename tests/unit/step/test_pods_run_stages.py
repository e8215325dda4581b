"""A pod whose image has Python: the real runner.pyz, and a server that knows the protocol."""

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fakes.pod_server import TOKEN, listing, md5, stage
from podding import Pod, archive, pythons, until
from refmill.formats.directories import hash_directory


@pytest.mark.parametrize("python", pythons())
def test_a_chain_of_stages_runs_in_one_pod_with_any_python(pod: Pod, serve, python: str) -> None:
    server = serve(
        stage("first", "cat data/a.txt data/b/c.txt > out.txt", "mkdir made; cp out.txt made/x", outs=["out.txt", "made"],
              inputs={"data": {}}),
        stage("second", "cat out.txt made/x > end.txt; ls", outs=["end.txt"], inputs={"out.txt": "out.txt", "made": "made"}),
    )  # fmt: skip
    server.stages[0]["inputs"] = {"data": server.put_folder({"a.txt": b"one\n", "b/c.txt": b"two\n"})}
    assert pod.run(server, python=python) == 0, pod.said
    assert server.objects[server.made["end.txt"]["md5"]] == b"one\ntwo\none\ntwo\n"
    assert set(server.log(1).split("\n")[1:]) == {"end.txt", "dvc.yaml", "made", "out.txt", "read me.txt", "src"}
    assert [end["listing"]["measured"] for end in server.ends(0) + server.ends(1)] == [
        {"data": 8},
        {"out.txt": 8, "made": 8},
    ]


def test_a_chain_does_not_fetch_what_it_made(pod: Pod, serve) -> None:
    server = serve(
        stage("first", "seq 100 > a; mkdir d; seq 9 > d/x", outs=["a", "d"]),
        stage("second", "cat a d/x > b", outs=["b"], inputs={"a": "a", "d": "d"}),
    )
    assert pod.run(server) == 0, pod.said
    assert server.count("^GET /o/n.dvc/files") == 0
    assert server.connections <= 3


def test_objects_travel_by_addresses_of_the_store_without_the_token(pod: Pod, serve) -> None:
    server = serve(
        stage("s", "cp -r in out; head -c 70000 /dev/zero > out/more", outs=["out"], inputs={"in": {}}), signed=True
    )
    server.stages[0]["inputs"] = {"in": server.put_folder({f"{n}": b"%d" % n for n in range(30)})}
    assert pod.run(server) == 0, pod.said
    made = {f"{n}": b"%d" % n for n in range(30)} | {"more": bytes(70_000)}
    assert server.made["out"]["md5"] == md5(listing(made)) + ".dir"
    assert server.objects[md5(bytes(70_000))] == bytes(70_000)
    assert server.count("PUT") == 1


@pytest.mark.parametrize("tells", [True, False])
def test_the_next_stage_begins_with_the_end_of_the_one_before(pod: Pod, serve, tells: bool) -> None:
    once_more = stage("b", "[ -e $TMPDIR/again ] || { touch $TMPDIR/again; false; }", retries=1)
    server = serve(stage("a", "echo a > a", outs=["a"]), once_more, stage("c", "cp a c", inputs={"a": "a"}))
    server.tells_of_next = tells
    assert pod.run(server) == 0, pod.said
    assert server.count("/begin") == (2 if tells else 4)  # a retry is asked for
    assert [len(attempts) for attempts in server.attempts] == [1, 2, 1]


def test_a_stage_that_turns_out_to_be_cached_or_unwanted_at_that_moment(pod: Pod, serve) -> None:
    server = serve(stage("a", "true"), stage("b", "touch $TMPDIR/ran"), stage("c", "true"))
    server.cached.add(1)
    assert pod.run(server) == 0, pod.said
    assert (server.done, server.count("/begin")) == ([True] * 3, 2)
    assert not (pod.folder / "ran").exists()
    stopped = serve(stage("a", "true"), stage("b", "touch $TMPDIR/ran"))
    plain = stopped.ended
    stopped.ended = lambda *told: (setattr(stopped, "go", False), plain(*told))[1]
    assert pod.run(stopped) == 1
    assert "the run was stopped" in pod.said
    assert not (pod.folder / "ran").exists()


def test_a_stage_that_is_done_or_cached_is_passed_over(pod: Pod, serve) -> None:
    server = serve(stage("done", "exit 9"), stage("cached", "exit 9"), stage("new", "echo ran"))
    server.done[0] = True
    server.cached.add(1)
    assert pod.run(server) == 0, pod.said
    assert [len(attempts) for attempts in server.attempts] == [0, 0, 1]
    assert server.log(2) == "$ echo ran\nran"


def test_a_pod_with_nothing_to_do_says_so(pod: Pod, serve) -> None:
    server = serve(stage("s", "true"))
    server.go = False
    assert pod.run(server) == 1
    assert server.attempts == [[]]
    server.done[0] = True
    assert pod.run(server) == 0


def test_a_failing_command_ends_the_pod_and_the_chain(pod: Pod, serve) -> None:
    server = serve(stage("s", "echo to see >&2", "exit 3", "echo never", outs=["o"]), stage("t", "true"))
    assert pod.run(server) == 1
    assert [(end["code"], end["reason"]) for end in server.ends()] == [(3, "failed")]
    assert server.log() == "$ echo to see >&2\nto see\n$ exit 3"
    assert server.attempts[1] == []


def test_retries_go_on_in_the_same_pod_from_a_fresh_checkout(pod: Pod, serve) -> None:
    tries = "test ! -e mess; touch mess; echo x >> $TMPDIR/tries; test $(wc -l < $TMPDIR/tries) = 3 && cp in o"
    server = serve(stage("s", tries, outs=["o"], inputs={"in": {}}, retries=2))
    server.stages[0]["inputs"] = {"in": server.put(b"given")}
    assert pod.run(server) == 0, pod.said
    assert [(end["attempt"], end["code"]) for end in server.ends()] == [(1, 1), (2, 1), (3, 0)]
    assert server.count("commit.tar.gz") == 1
    assert server.count("GET /o/n.dvc/files") == 1


def test_an_input_that_a_command_edits_is_fetched_again_for_the_next_attempt(pod: Pod, serve) -> None:
    edits = "cat in; chmod u+w in 2>/dev/null; echo changed > in; false"
    server = serve(stage("s", edits, inputs={"in": {}}, retries=1))
    server.stages[0]["inputs"] = {"in": server.put(b"given\n")}
    assert pod.run(server) == 1
    assert [server.log(0, n).split("\n")[1] for n in (0, 1)] == ["given", "given"]
    assert server.count("GET /o/n.dvc/files") == 2


def test_outputs_are_gone_before_a_stage_runs_unless_they_persist(pod: Pod, serve) -> None:
    server = serve(
        stage(
            "s",
            "test ! -e old; cat kept more/f; echo 2 >> kept; echo 3 >> more/f; touch old",
            outs=["old", "kept", "more"],
        ),
        commit=archive({"old": b"committed", "kept": b"committed"}),
    )
    server.stages[0]["persist"] = {"kept": server.put(b"1\n"), "more": server.put_folder({"f": b"2\n"})}
    assert pod.run(server) == 0, pod.said
    assert server.objects[server.made["kept"]["md5"]] == b"1\n2\n"
    assert server.objects[md5(b"2\n3\n")] == b"2\n3\n"


def test_a_command_finds_its_variables_and_neither_the_token_nor_a_way_to_it(pod: Pod, serve) -> None:
    shows = "env | sort; pwd"
    server = serve(
        stage("train", shows, wdir="sub/deep", env={"A": "set", "OMP_NUM_THREADS": "7"}, secrets={"KEY": "s3cr3t-v4lue"},
              begin_env={"MORE": "b", "DVC_ROOT": "/else"}),
        project="proj", commit=archive({"proj/dvc.yaml": b""}),
    )  # fmt: skip
    assert pod.run(server, IMAGE_HAS="this", ARGO_TEMPLATE="{}") == 0, pod.said
    found = dict(line.partition("=")[::2] for line in server.log().split("\n")[1:])
    assert found["A"] == "set"
    assert (found["OMP_NUM_THREADS"], found["KEY"], found["MORE"], found["IMAGE_HAS"]) == ("7", "***", "b", "this")
    assert (found["DVC_ROOT"], found["DVC_STAGE"]) == (str(pod.tree / "proj"), "train")
    assert (found["REFMILL_RUN"], found["HOME"], found["LANG"]) == ("testrun", str(pod.base / "home"), "C.UTF-8")
    assert set(found) & {"REFMILL_TOKEN", "REFMILL_SERVER", "REFMILL_WORK", "ARGO_TEMPLATE"} == set()
    assert server.log().endswith(str(pod.tree / "proj/sub/deep"))
    assert "s3cr3t" not in pod.said
    assert not [path for path in pod.base.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]


def test_another_user_s_processes_cannot_read_the_token_out_of_the_runner(pod: Pod, serve) -> None:
    """The commands run as the same user. (Root may read everything, so that this runs as nobody where it can.)"""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    server = serve(stage("s", "cat /proc/$PPID/environ | tr '\\0' '\\n' | head -3; id -u"))
    pod.folder.chmod(0o777)
    for place in pod.folder.parents:
        if place != Path("/"):
            place.chmod(place.stat().st_mode | 0o001)
    pod.number += 1
    pod.base.mkdir()
    pod.base.chmod(0o777)
    system = next((path for path in ("/usr/bin/python3", "/usr/local/bin/python3") if os.path.exists(path)), "")
    if not system:
        pytest.skip("no Python that another user may start")
    told = {
        "REFMILL_SERVER": server.url, "REFMILL_RUN": "testrun", "REFMILL_TOKEN": TOKEN, "HOSTNAME": "p",
        "REFMILL_WORK": str(pod.base), "REFMILL_PATIENCE": "5", "PATH": "/usr/bin:/bin",
    }  # fmt: skip
    done = subprocess.run(
        [system, str(pod.program), "run", "1"], user=65534, group=65534, extra_groups=[], env=told, cwd="/",
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done
    assert server.log().endswith("\n65534")
    assert TOKEN not in server.log()
    assert "REFMILL" not in server.log()


def test_nothing_is_written_through_links_of_the_repository(pod: Pod, serve, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    commit = tmp_path / "commit"
    commit.mkdir()
    for name in ("in", "out", "work"):
        (commit / name).symlink_to(outside)
    (commit / "file").symlink_to("/etc/hostname")
    server = serve(
        stage("s", "echo made > out/deep/x", wdir="", outs=["out/deep/x"], inputs={"in/a": {}, "work/d": {}}),
        commit=archive(folder=commit),
    )
    server.stages[0]["inputs"] = {"in/a": server.put(b"a"), "work/d": server.put_folder({"b": b"b"})}
    assert pod.run(server) == 0, pod.said
    assert list(outside.iterdir()) == []
    assert os.readlink(pod.tree / "file") == "/etc/hostname"
    assert not (pod.tree / "in").is_symlink()


def test_a_real_checkout_arrives_as_git_knows_it(pod: Pod, serve, tmp_path: Path) -> None:
    commit = tmp_path / "commit"
    commit.mkdir()
    (commit / "a file").write_text("x")
    (commit / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (commit / "run.sh").chmod(0o755)
    (commit / "link").symlink_to("a file")
    (commit / "empty").mkdir()
    os.utime(commit / "a file", (1_700_000_000, 1_700_000_000))
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(commit)]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], check=True)
    server = serve(
        stage("s", "git status --porcelain", "./run.sh", "git log --oneline | wc -l"), commit=archive(folder=commit)
    )
    assert pod.run(server) == 0, pod.said
    assert server.log().split("\n") == [
        "$ git status --porcelain",
        "$ ./run.sh",
        "ran",
        "$ git log --oneline | wc -l",
        "1",
    ]
    assert int((pod.tree / "a file").stat().st_mtime) == int((commit / "a file").stat().st_mtime)


ODD = ["plain", "with space", "ü", "new\nline", "quote'\"", "-dash", "a/b/c", "$(x)", "\udcff\udcfe"]


def test_outputs_are_read_as_the_local_engine_reads_them(pod: Pod, serve) -> None:
    making = (
        "mkdir -p d/e/.git d/.dvc d/sub/.dvc d/empty; ln -s plain d/link; ln -s e d/folderlink; touch d/.git/x 2>/dev/null;"
        "echo x > d/e/.git/y; echo x > d/.dvc/z; echo x > d/sub/inner; echo x > d/e/.gitignore; echo x > d/one; chmod +x d/one"
    )
    # The way of a shell into every name: through a program.
    code = f"import os\nfor n in {ODD!r}:\n os.makedirs(os.path.dirname('d/'+n), exist_ok=True)\n open('d/'+n, 'w').write(ascii(n))"
    server = serve(stage("s", making, f'{sys.executable} -c "$CODE"', "cp d/one single; rm -r d/sub", outs=["d", "single"], env={"CODE": code}))  # fmt: skip
    assert pod.run(server) == 0, pod.said
    expected = hash_directory(pod.tree / "d", inside=pod.tree)
    assert server.made["d"] == {"md5": expected.hash.md5, "size": expected.hash.size, "nfiles": expected.hash.nfiles}
    assert expected.hash.nfiles >= len(ODD) + 2
    assert server.made["single"] == {"md5": md5(b"x\n"), "size": 2, "isexec": True}
    for file in expected.files.values():
        assert file.md5 in server.objects


@pytest.mark.parametrize(
    ("command", "reason", "words"),
    [
        ("true", "output-missing", "o"),
        ("ln -s /etc/passwd o", "output-refused", "leads out"),
        ("mkdir o; ln -s ../../../../etc/passwd o/x", "output-refused", "leads out"),
        ("ln -s nowhere o", "output-refused", "leads nowhere"),
        ("mkfifo o", "output-refused", "neither a file nor a directory"),
        ("mkdir o; touch o/.dvcignore", "output-refused", ".dvcignore"),
        ("touch o; mv $DVC_ROOT $DVC_ROOT.old; ln -s /etc $DVC_ROOT", "output-refused", "workspace"),
    ],
)
def test_outputs_that_cannot_be_taken_are_told_by_name(pod: Pod, serve, command: str, reason: str, words: str) -> None:
    server = serve(stage("s", command, outs=["o"]))
    assert pod.run(server) == 1, pod.said
    assert [(end["code"], end["reason"], words in end["detail"]) for end in server.ends()] == [(0, reason, True)]


def test_three_thousand_files_go_in_few_requests(pod: Pod, serve) -> None:
    making = "mkdir d; for i in $(seq 3000); do echo $i > d/$i; done"
    server = serve(stage("s", making, outs=["d"]), stage("t", "cat d/* | wc -l > n", outs=["n"], inputs={"d": "d"}))
    assert pod.run(server) == 0, pod.said
    assert server.made["d"]["nfiles"] == 3000
    assert server.objects[server.made["n"]["md5"]].strip() == b"3000"
    assert server.count("POST /o/n.dvc/batch") <= 4
    assert server.count("GET /o/n.dvc/files") == 0
    assert server.connections <= 12


def test_logs_arrive_while_a_command_runs(pod: Pod, serve, tmp_path: Path) -> None:
    server = serve(stage("s", "echo begun; while [ ! -e $TMPDIR/go ]; do sleep 0.05; done; echo over"))
    process = pod.start(server)
    until(lambda: server.attempts[0] and b"begun" in server.attempts[0][0].log)
    assert "begun" in pod.said
    (tmp_path / "go").touch()
    assert process.wait(20) == 0
    assert server.log().endswith("begun\nover")


def test_a_line_of_a_hundred_megabytes_and_a_gigabyte_of_log_do_no_harm(pod: Pod, serve) -> None:
    server = serve(
        stage("s", "head -c 100000000 /dev/zero | tr '\\0' x", f"yes {'y' * 4000} | head -c 1000000000", "echo the end")
    )
    server.extra = {"log_limit": 4 << 20}
    assert pod.run(server, seconds=100) == 0, pod.said[-500:]
    log = server.attempts[0][0].log
    assert len(log) < 6 << 20
    assert b"left out here" in log
    assert b"o the end\n" in log[-300:]


def test_secrets_are_masked_in_both_logs_also_across_pieces(pod: Pod, serve) -> None:
    command = 'printf \'a%s\' "$K" | head -c 6; sleep 1.2; printf %s "$K" | tail -c +6; echo; echo $K | base64'
    server = serve(stage("s", command, secrets={"K": "hunter2hunter2"}))
    assert pod.run(server) == 0
    for text in (server.attempts[0][0].log.decode(), pod.said):
        assert "hunter" not in text
        assert "aHVudGVy" not in text
        assert "***" in text


def test_a_time_limit_ends_the_whole_tree(pod: Pod, serve) -> None:
    server = serve(stage("s", "trap '' TERM; (setsid sleep 300 &); sleep 300", timeout=1))
    pod.start(server)
    until(server.ends, 40)
    assert [(end["reason"], end["code"]) for end in server.ends()] == [("timeout", None)]
    assert server.ends()[0]["seconds"] < 20
    assert pod.processes[0].wait(5) == 1
    assert pod.left() == []


def test_what_a_command_left_running_is_ended_and_its_use_is_told(pod: Pod, serve) -> None:
    burns = f'{sys.executable} -c "x = bytearray(100_000_000); sum(range(3_000_000))"; sleep 1000 &'
    server = serve(stage("s", burns), stage("t", "true"))
    start = time.monotonic()
    assert pod.run(server) == 0, pod.said
    assert time.monotonic() - start < 60
    first, second = server.ends(0)[0]["usage"], server.ends(1)[0]["usage"]
    assert first["peak_memory"] > 100_000_000 > second["peak_memory"]
    assert first["cpu_seconds"] > second["cpu_seconds"]
    assert "ending what was left running" in server.log()


def test_inputs_are_read_only_and_an_executable_one_is_executable(pod: Pod, serve) -> None:
    server = serve(stage("s", "./tool && stat -c %a in tool > o", outs=["o"], inputs={"in": {}, "tool": {}}))
    server.stages[0]["inputs"] = {"in": server.put(b"x"), "tool": {**server.put(b"#!/bin/sh\n"), "isexec": True}}
    assert pod.run(server) == 0, pod.said
    assert server.objects[server.made["o"]["md5"]] == b"444\n555\n"
    assert stat.S_IMODE((pod.tree / "in").stat().st_mode) == 0o444


def test_objects_of_dvc_2_are_inputs_too(pod: Pod, serve) -> None:
    server = serve(stage("s", "cat d/a one > o", outs=["o"], inputs={"d": {}, "one": {}}))
    text = b"line\r\nline\r\n"
    name = "old-" + md5(text.replace(b"\r\n", b"\n"))
    folder = json.dumps([{"md5": name[4:], "relpath": "a"}]).encode()
    for known in (name, "old-" + md5(folder) + ".dir"):
        server.objects[known] = folder if known.endswith(".dir") else text
    server.stages[0]["inputs"] = {"d": {"md5": "old-" + md5(folder) + ".dir"}, "one": {"md5": name}}
    assert pod.run(server) == 0, pod.said
    assert server.objects[server.made["o"]["md5"]] == text * 2
