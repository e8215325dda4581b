"""What a boxed command can and cannot do, by running bubblewrap."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from refmill.engine.sandbox import Box, Sandbox
from refmill.ports.engines import StageSettings

boxed = pytest.mark.skipif(not Sandbox().works, reason="bubblewrap does not work here")


@pytest.fixture
def shell(tmp_path):
    """Run a shell line in a box with `work` writable and `seen` readable."""
    for name in ("work", "seen", "hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)

    def run(line: str, *, network: bool = True, boxed_network: bool = True, **box) -> subprocess.CompletedProcess:
        what = Box((tmp_path / "work",), (tmp_path / "seen",), tmp_path / "work", network=boxed_network, **box)
        command = Sandbox(network=network).wrap(["/bin/sh", "-c", line], what)
        # What a box shows: the machine's own programs and the Python of environments, wherever the tests found theirs.
        path = os.pathsep.join([f"{sys.base_prefix}/bin", "/usr/local/bin", "/usr/bin", "/bin"])
        return subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, check=False)

    run.root = tmp_path
    return run


@boxed
def test_its_own_folder_can_be_written(shell):
    assert shell("echo new > file && pwd").stdout.strip() == str(shell.root / "work")
    assert (shell.root / "work" / "file").read_text() == "new\n"


@boxed
@pytest.mark.parametrize(
    "line",
    [
        "echo x > ../seen/file",
        "cat ../hidden/file",
        "ls ../hidden",
        "echo x > /usr/x",
        "cat /etc/shadow",
        "touch /etc/x",
        ": >> /proc/sys/kernel/core_pattern",  # opens it, and writes nothing
    ],
)
def test_nothing_else_can(shell, line):
    assert shell(line).returncode != 0


@boxed
def test_readable_folders_can_be_read(shell):
    assert shell("cat ../seen/file").stdout == "seen"


@boxed
def test_linked_inputs_cannot_be_changed(shell):
    (shell.root / "object").write_text("precious")
    os.link(shell.root / "object", shell.root / "work" / "input")
    done = shell("chmod 666 input; echo x > input; cat input", read_only=(shell.root / "work" / "input",))
    assert done.stdout == "precious"
    assert (shell.root / "object").read_text() == "precious"


@boxed
def test_the_hosts_processes_cannot_be_seen(shell):
    assert str(os.getpid()) not in shell("ls /proc").stdout.split()
    assert shell(f"kill -0 {os.getpid()}").returncode != 0


@boxed
def test_tmp_is_its_own(shell):
    assert shell("ls /tmp").stdout.split() == [shell.root.relative_to("/tmp").parts[0]] or shell("ls /tmp").stdout == ""


@boxed
@pytest.mark.parametrize("network", [True, False])
def test_the_network_is_there_or_not(shell, network):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)"
        assert (shell(f'python3 -c "{code}"', network=network).returncode == 0) is network


@boxed
def test_the_network_can_be_taken_from_one_box(shell):
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 2)"
        assert shell(f'python3 -c "{code}"', boxed_network=False).returncode != 0


@boxed
def test_shared_memory_has_an_end_and_the_rest_of_dev_is_read_only(shell):
    done = shell("head -c 3000000 /dev/zero > /dev/shm/x; wc -c < /dev/shm/x; echo x > /dev/null", memory=2 << 20)
    assert (done.returncode, int(done.stdout)) == (0, 1 << 20)
    assert shell("echo x > /dev/x").returncode != 0


@boxed
def test_no_namespaces_are_made_inside(shell):
    assert "--disable-userns" in Sandbox().wrap(["true"], Box((), (), Path("/")))
    assert shell("unshare --user true").returncode != 0


@boxed
@pytest.mark.skipif(not os.access("/opt", os.W_OK), reason="/opt cannot be written")
def test_a_data_directory_among_the_systems_folders_is_not_shown(shell):
    with tempfile.TemporaryDirectory(dir="/opt") as place:
        data = Path(place) / "data"
        (data / "work").mkdir(parents=True)
        (data / "secret").write_text("secret")
        box = Box((data / "work",), (), data / "work")
        line = "echo x > y; cat ../secret; echo z > ../z"
        command = Sandbox(hidden=data).wrap(["/bin/sh", "-c", line], box)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.stdout, done.returncode != 0) == ("", True)
        assert sorted(path.name for path in data.rglob("*")) == ["secret", "work", "y"]


def test_where_it_fails_it_does_not_count(tmp_path):
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho no permission >&2\nexit 1\n")
    broken.chmod(0o755)
    assert not Sandbox(program=str(broken)).works
    assert not Sandbox(program=str(tmp_path / "none")).works
    assert not Sandbox("off").works


def test_who_may_run_without_one(tmp_path):
    none = str(tmp_path / "none")
    assert Sandbox(program=none).refusal("ann", trusted=True) is None
    assert "ann is not one" in str(Sandbox(program=none).refusal("ann", trusted=False))
    assert "requires one" in str(Sandbox("require", program=none).refusal("ann", trusted=True))
    box = Box((), (), Path("/"))
    assert Sandbox("off").wrap(["a", "b"], box) == ["a", "b"]


@boxed
def test_whole_runs_in_boxes(bench):
    bench.sandbox = Sandbox()
    md5 = bench.objects.write(b"raw\n")
    pipeline = f"""
stages:
  first:
    cmd: cat raw > one; (echo x > raw) 2>/dev/null; ls {bench.root}/objects > two 2>&1; git rev-parse HEAD >> one; echo $HOME >> one; touch $HOME/x $TMPDIR/y; python -c 'print(1)' >> one
    deps: [raw]
    outs: [one, {{two: {{cache: false}}}}]
  next:
    cmd: sort one > three
    deps: [one]
    outs: [three]
"""
    data = f"outs:\n- md5: {md5}\n  size: 4\n  hash: md5\n  path: raw\n"
    assert bench.run({"dvc.yaml": pipeline, "raw.dvc": data}, {"first": StageSettings(timeout=20)}) == "succeeded", (
        bench.kept
    )
    entries = bench.told.ends[0][3]
    lines = bench.objects.read(entries["first"]["outs"][0]["md5"]).decode().split("\n")
    assert lines[0] == "raw"
    assert lines[1] == bench.git("rev-parse", "HEAD")
    assert lines[3] == "1"
    assert b"No such file" in bench.told.ends[0][2]["two"]
    assert bench.objects.read(md5) == b"raw\n"


@boxed
@pytest.mark.parametrize(("network", "interfaces"), [(True, None), (False, b"lo\n")])
def test_a_run_without_the_network_has_no_interface(bench, network, interfaces):
    bench.sandbox = Sandbox()
    line = "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | sort > seen"
    pipeline = f"stages:\n  look:\n    cmd: {line}\n    outs: [{{seen: {{cache: false}}}}]\n"
    assert bench.run({"dvc.yaml": pipeline.replace(line, json.dumps(line))}, network=network) == "succeeded"
    seen = bench.told.ends[0][2]["seen"]
    here = sorted(name.encode() for _, name in socket.if_nameindex())
    assert seen == (interfaces or b"".join(name + b"\n" for name in here))


@boxed
def test_a_boxed_tree_is_stopped_and_limited(bench):
    bench.sandbox = Sandbox()
    hog = "python -c 'x = bytearray(150 << 20); import time; time.sleep(9)' & wait"
    order = {"hog": StageSettings(memory=100 << 20)}
    assert bench.run({"dvc.yaml": f"stages:\n  hog:\n    cmd: {hog}\n    outs: [x]\n"}, order) == "failed"
    assert "ran out of its 100 MiB of memory" in str(bench.told.last("hog").explanation)
