"""A pod whose image has a shell and no Python: fetch, main.sh, store, each in a container of its own."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from fakes.pod_server import TOKEN, PodServer, md5, stage
from podding import Pod, archive, until

SHELLS = [
    command for command in (["/bin/sh"], ["bash", "--posix"], ["busybox", "sh"]) if shutil.which(command[0]) is not None
]


def start(pod: Pod, shell: list[str], **env: str) -> subprocess.Popen:
    """The container in the middle: it has no token, and its image's own variables."""
    environ = {"PATH": "/usr/bin:/bin", "HOME": "/", "TMPDIR": str(pod.folder), "WORK": str(pod.base), **env}
    return subprocess.Popen([*shell, str(pod.base / ".refmill/main.sh")], env=environ, cwd="/", start_new_session=True)


def whole(pod: Pod, server: PodServer, shell: list[str] | None = None, *, code: int = 0, **env: str) -> None:
    """All three containers."""
    assert pod.run(server, command="fetch") == 0, pod.said
    assert start(pod, shell or SHELLS[0], **env).wait(60) == 0
    assert pod.run(server, command="store", same=True) == code, pod.said


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_stage_runs_in_an_image_without_python(pod: Pod, serve, shell: list[str]) -> None:
    server = serve(
        stage("s", "echo begun; cat in/a 'read me.txt' > o", "mkdir d; printf '%s\\n' \"it's $A in $(pwd)\" > 'd/a b'", outs=["o", "d"],
              inputs={"in": {}}, env={"A": "$x 'y' \"z\"\n\\n `ls`", "DVC_NO_ANALYTICS": "0"}, wdir=""),
    )  # fmt: skip
    server.stages[0]["inputs"] = {"in": server.put_folder({"a": b"given\n"})}
    whole(pod, server, shell)
    assert server.objects[server.made["o"]["md5"]] == b"given\nhello\n"
    assert (pod.tree / "d/a b").read_text() == f"it's $x 'y' \"z\"\n\\n `ls` in {pod.tree}\n"
    assert server.log().startswith("$ echo begun;")
    assert "\nbegun\n" in server.log()
    assert [(end["code"], end["reason"]) for end in server.ends()] == [(0, "")]
    assert server.ends()[0]["listing"]["measured"] == {"in": 6}


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_command_that_fails_is_the_last_and_does_not_fail_its_container(pod: Pod, serve, shell: list[str]) -> None:
    server = serve(stage("s", "echo one", "exit 3", "echo two", outs=["o"]))
    whole(pod, server, shell, code=1)
    assert [(end["code"], end["reason"]) for end in server.ends()] == [(3, "failed")]
    assert server.log() == "$ echo one\none\n$ exit 3"


@pytest.mark.parametrize(
    "command",
    [
        "kill -9 $$",
        "exec /no/such/program",
        "cd /; rm -rf $DVC_ROOT",
        "trap '' TERM; kill $PPID; exit 4",
        "set -e; false",
        "(",
        "exit 300",
    ],
)
def test_whatever_a_command_does_its_container_ends_well(pod: Pod, serve, command: str) -> None:
    server = serve(stage("s", command, outs=["o"]))
    whole(pod, server, code=1)
    assert len(server.ends()) == 1
    assert server.ends()[0]["reason"] in ("failed", "output-missing", "output-refused")


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_time_limit_is_kept_without_python(pod: Pod, serve, shell: list[str]) -> None:
    server = serve(stage("s", "sleep 400 & sleep 300; echo no", "echo never", timeout=1))
    start = time.monotonic()
    whole(pod, server, shell, code=1, REFMILL_TEST="x")
    assert time.monotonic() - start < 60
    assert [end["reason"] for end in server.ends()] == ["timeout"]
    assert 0.5 < server.ends()[0]["seconds"] < 30
    assert "never" not in server.log()
    until(lambda: not pod.left())


def test_what_runs_in_the_background_goes_with_its_command(pod: Pod, serve) -> None:
    server = serve(stage("s", "(sleep 300; echo late) & echo o > o", outs=["o"]))
    whole(pod, server)
    until(lambda: not pod.left())


def test_secrets_reach_the_command_and_neither_log_nor_script_nor_what_stays(pod: Pod, serve) -> None:
    server = serve(
        stage(
            "s",
            "echo key $K; echo $K | md5sum > o; ls -a $WORK/.refmill/main",
            secrets={"K": "hunter2 'hunter2'"},
            outs=["o"],
        )
    )
    whole(pod, server)
    assert "key ***" in server.log()
    assert "variables.sh" not in server.log()
    assert server.objects[server.made["o"]["md5"]].split()[0].decode() == md5(b"hunter2 'hunter2'\n")
    assert "hunter2" not in pod.said
    kept = [path for path in pod.base.rglob("*") if path.is_file() and path.name != "log"]
    assert not [path for path in kept if b"hunter2" in path.read_bytes()]
    assert not [path for path in kept if TOKEN.encode() in path.read_bytes()]


def test_the_token_is_not_to_be_had_by_links_in_place_of_what_store_reads(pod: Pod, serve) -> None:
    links = (
        "cd $WORK; for f in log code; do rm -f .refmill/main/$f; ln -s /proc/self/environ .refmill/main/$f; done;"
        "mv tree old; ln -s /proc/self tree"
    )
    server = serve(stage("s", links, outs=["environ"]))
    whole(pod, server, code=1)
    assert [end["reason"] for end in server.ends()] != [""]
    assert TOKEN.encode() not in server.attempts[0][0].log
    assert b"REFMILL" not in server.attempts[0][0].log
    assert not [data for data in server.objects.values() if TOKEN.encode() in data]


def test_a_long_log_is_cut_as_elsewhere(pod: Pod, serve) -> None:
    server = serve(
        stage("s", "head -c 30000000 /dev/zero | tr '\\0' x; yes and more of it | head -c 20000000; echo the end")
    )
    server.extra = {"log_limit": 2 << 20}
    whole(pod, server)
    assert len(server.attempts[0][0].log) < 4 << 20
    assert server.log().endswith("the end")


def test_a_stage_that_is_cached_runs_nothing(pod: Pod, serve) -> None:
    server = serve(stage("s", "exit 3"))
    server.cached.add(0)
    whole(pod, server)
    assert server.ends() == []


def test_inputs_that_cannot_be_had_are_told_by_fetch(pod: Pod, serve) -> None:
    server = serve(stage("s", "true", inputs={"in": {}}))
    server.stages[0]["inputs"] = {"in": {"md5": "1" * 32}}
    assert pod.run(server, command="fetch") == 1
    assert [end["reason"] for end in server.ends()] == ["input-missing"]


def test_the_end_is_told_to_a_run_that_begins_nothing_more(pod: Pod, serve) -> None:
    server = serve(stage("s", "true"))
    assert pod.run(server, command="fetch") == 0
    assert start(pod, SHELLS[0]).wait(60) == 0
    server.go = False
    assert pod.run(server, command="store", same=True) == 0, pod.said
    assert [end["code"] for end in server.ends()] == [0]


def test_a_retry_is_another_pod(pod: Pod, serve) -> None:
    server = serve(stage("s", "test -e $TMPDIR/twice || { touch $TMPDIR/twice; exit 5; }", retries=1))
    whole(pod, server, code=75)
    whole(pod, server)
    assert [(end["attempt"], end["code"]) for end in server.ends()] == [(1, 5), (2, 0)]


def test_commands_that_never_ended_are_called_lost(pod: Pod, serve) -> None:
    server = serve(stage("s", "echo begun; sleep 300"))
    assert pod.run(server, command="fetch") == 0
    process = start(pod, SHELLS[0])
    until(
        lambda: (
            (pod.base / ".refmill/main/log").exists() and b"begun\n" in (pod.base / ".refmill/main/log").read_bytes()
        )
    )
    process.kill()
    process.wait()
    assert pod.run(server, command="store", same=True) == 1
    assert [end["reason"] for end in server.ends()] == ["lost"]
    assert server.log().endswith("begun")


def test_a_pod_that_is_deleted_ends_the_commands(pod: Pod, serve) -> None:
    server = serve(stage("s", "trap 'echo asked; exit 6' TERM; echo begun; while :; do sleep 0.1; done"))
    assert pod.run(server, command="fetch") == 0
    process = start(pod, SHELLS[0])
    log = pod.base / ".refmill/main/log"
    until(lambda: log.exists() and b"begun\n" in log.read_bytes())
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert log.read_bytes().endswith(b"asked\n")
    assert (pod.base / ".refmill/main/code").read_text() == "6\n"


def test_the_script_has_nothing_of_the_repository_unquoted(pod: Pod, serve) -> None:
    evil = "'; touch $TMPDIR/pwned; '"
    server = serve(
        stage("s", f"echo {evil!r} # '\n#\"`", env={"A": evil, "B; touch x": "odd", "C": "$(touch $TMPDIR/pwned)"}, wdir="it's $(touch x)"),
        project="o'p $(id)", commit=archive({"o'p $(id)/dvc.yaml": b""}),
    )  # fmt: skip
    whole(pod, server)
    assert not (pod.folder / "pwned").exists()
    assert not [name for name in os.listdir(pod.base) if name == "x"]
