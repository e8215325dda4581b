"""What pods of a server do before it starts, when several begin at the same moment on a volume that is still empty."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chart_values import VALUES
from charting import objects
from database_servers import database_server

KEY = "b2YgdGhpcyB0ZXN0LCBhbmQgb2Ygbm90aGluZyBlbHM="
PODS = 2


def script(mounted: Path) -> str:
    """That of the init container, with what it mounts somewhere else."""
    deployment = objects(VALUES["standbys"])["Deployment", "mill"]
    (prepare,) = deployment["spec"]["template"]["spec"]["initContainers"]
    assert prepare["command"] == ["sh", "-eu", "-c"]
    (found,) = prepare["args"]
    return found.replace("/etc/refmill", str(mounted))


@pytest.mark.timeout(400)
def test_pods_that_begin_together_make_one_key_and_one_account(tmp_path: Path) -> None:
    mounted, programs, data = tmp_path / "etc", tmp_path / "bin", tmp_path / "volume" / "data"
    for name, content in {"encryption/secrets.key": KEY, "admin/password": "a good password\n"}.items():
        (mounted / name).parent.mkdir(parents=True)
        (mounted / name).write_text(content)
    programs.mkdir()
    (programs / "sync").write_text('#!/bin/sh\nsleep 1\nexec /bin/sync "$@"\n')  # a slow disk: all are there by then
    (programs / "sync").chmod(0o755)
    path = f"{programs}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with database_server("postgresql") as server:
        env = os.environ | {
            "PATH": path, "REFMILL_DATA": str(data), "REFMILL_DATABASE": server.url(server.database(), driver=False),
        }  # fmt: skip
        command = ["sh", "-eu", "-c", script(mounted)]
        pods = [subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) for _ in range(PODS)]
        said = [pod.communicate(timeout=180)[1] for pod in pods]
        assert [pod.returncode for pod in pods] == [0] * PODS, said
        listed = subprocess.run(
            ["refmill", "user", "list", "--json"], env=env, capture_output=True, text=True, check=True
        )
    assert [(user["name"], user["admin"]) for user in json.loads(listed.stdout)] == [("operator", True)]
    assert [(path.name, path.read_text()) for path in data.glob("secrets.key*")] == [("secrets.key", KEY)]
    assert (data / "secrets.key").stat().st_mode & 0o777 == 0o600
