"""A release that goes into maintenance and back: commands that want no platform beside them work in its pod, a backup is
taken and brought back, an older database is brought forward, and pushes work again."""

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from clusters import OnCluster
from releases import MINUTES, RELEASE, SERVERS, Installed, release_in

from platforms import Copy, new_copy
from refmill.clients.database import schema

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]
PIPELINE = "stages:\n  count: {cmd: 'wc -l < rows.txt > count.txt', deps: [rows.txt], outs: [count.txt]}\n"
WAIT = ("--wait", f"--timeout={MINUTES}m")
STRAY = b"uploaded, and named by no commit\n"
OLD = 30 * 86_400
PLACE = "/var/lib/refmill"
BEFORE = f"{int(schema.REVISION) - 1:04}"
GRACE = 60
"""Seconds that Kubernetes leaves a pod that does not end by itself."""
BACKWARDS = f"""\
import contextlib, os, sqlite3
import sqlalchemy
from alembic import command, config
from refmill.clients.database import migrate

now, old = "{PLACE}/data/refmill.db", "{PLACE}/data/older.db"
engine = sqlalchemy.create_engine("sqlite:///" + old)
with engine.begin() as connection:
    settings = config.Config()
    settings.set_main_option("script_location", str(migrate.MIGRATIONS))
    settings.attributes["connection"] = connection
    command.upgrade(settings, "{BEFORE}")
engine.dispose()
with contextlib.closing(sqlite3.connect(old)) as database, database:
    database.execute("ATTACH ? AS now", [now])
    for (table,) in database.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall():
        if table != "alembic_version":
            names = ", ".join(row[1] for row in database.execute(f"PRAGMA main.table_info({{table}})"))
            database.execute(f"DELETE FROM main.{{table}}")
            database.execute(f"INSERT INTO main.{{table}} ({{names}}) SELECT {{names}} FROM now.{{table}}")
os.replace(old, now)
"""
"""Puts what the records say into tables as the version before this one had them."""


@pytest.fixture(scope="module")
def release(
    workflows: OnCluster, namespace_of_module: str, platform_images: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installed]:  # fmt: skip
    """One that began in maintenance and works now; the tests of this file share it."""
    volume = tmp_path_factory.mktemp("maintained") / "volume"
    with release_in(workflows, namespace_of_module, platform_images, volume, maintenance=True) as made:
        made.install()
        assert done(made, "ls", "-A", PLACE) == b""
        made.change("maintenance=false", *WAIT)
        yield made


@pytest.fixture(scope="module")
def copy(release: Installed, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    made = new_copy(tmp_path_factory.mktemp("copied") / "copy", {"dvc.yaml": PIPELINE, "rows.txt": "1\n"})
    assert release.push(made)["status"] == "succeeded", release.story()
    return made


def pushed(release: Installed, copy: Copy) -> int:
    """The number of a new run, which succeeds."""
    rows = (copy.path / "rows.txt").read_text(encoding="utf-8")
    copy.write({"rows.txt": f"{rows}1\n"}).commit("one more")
    run = release.push(copy)
    assert run["status"] == "succeeded", release.story()
    return int(run["number"])


def volume(release: Installed) -> Path:
    """The folder of this machine that is the server's volume."""
    claim = f"data-{RELEASE}-0-of-{release.namespace}"
    return Path(release.cluster.kubectl.data("get", "pv", claim)["spec"]["local"]["path"])


def tried(release: Installed, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """A command in the server's pod that may fail."""
    return subprocess.run(release.inside(*words), input=stdin, capture_output=True, check=False, timeout=300)


def done(release: Installed, *words: str, stdin: bytes = b"") -> bytes:
    """What it says."""
    ended = tried(release, *words, stdin=stdin)
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout


def numbers(release: Installed) -> list[int]:
    return [run["number"] for run in json.loads(release.refmill("runs", "operator/tiny", "--json"))]


def reached(release: Installed) -> list[str]:
    """The addresses that the Service leads to."""
    chosen = ("-n", release.namespace, "-l", f"kubernetes.io/service-name={RELEASE}")
    slices = release.cluster.kubectl.data("get", "endpointslices", *chosen)["items"]
    return [address for item in slices for end in item["endpoints"] or () for address in end["addresses"]]


def uploaded(release: Installed) -> Path:
    """An object that no commit names, sent long ago."""
    md5 = hashlib.md5(STRAY, usedforsecurity=False).hexdigest()
    address = f"http://{release.address}/operator/tiny.dvc/files/md5/{md5[:2]}/{md5[2:]}"
    assert requests.post(address, STRAY, auth=("operator", release.password), timeout=60).ok
    (found,) = volume(release).rglob(f"{md5[:2]}/{md5[2:]}")
    then = time.time() - OLD
    os.utime(found, (then, then))
    return found


def test_garbage_is_taken_away_and_runs_are_put_back_where_no_platform_works(release: Installed, copy: Copy) -> None:
    stray = uploaded(release)
    said = json.loads(release.refmill("gc", "--dry-run", "--json"))["operator/tiny"]
    assert said["garbage"] == 1
    for words in (("gc", "--yes"), ("repo", "reindex")):
        refused = tried(release, "refmill", *words)
        assert refused.returncode != 0
        assert b"another Refmill runs in" in refused.stderr

    release.change("maintenance=true", *WAIT)
    assert reached(release) == []
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://{release.address}/healthz", timeout=10)
    pods = release.cluster.kubectl.data("get", "pods", "-n", release.namespace, "-l", SERVERS)["items"]
    assert [pod["metadata"]["name"] for pod in pods] == [f"{RELEASE}-0"]
    findings = {item["name"]: item["state"] for item in json.loads(release.refmill("doctor", "--json"))}
    assert (findings["database"], findings["rights"]) == ("ok", "ok")
    assert json.loads(release.refmill("gc", "--dry-run", "--json"))["operator/tiny"] == said
    assert "1 object taken away" in release.refmill("gc", "--yes")
    assert not stray.exists()
    whole = backup(release)
    assert "0 runs put back" in release.refmill("repo", "reindex")
    release.change("maintenance=false", *WAIT)
    assert reached(release)
    assert pushed(release, copy) == 2

    # The database of before comes back; objects and repositories are newer.
    release.change("maintenance=true", *WAIT)
    done(release, "sh", "-c", f"rm {PLACE}/data/refmill.db*")
    done(release, "tar", "-C", PLACE, "--wildcards", "-xf", "-", "data/refmill.db*", stdin=whole)
    assert numbers(release) == [1]
    assert "1 runs put back" in release.refmill("repo", "reindex")
    assert numbers(release) == [2, 1]
    release.change("maintenance=false", *WAIT)
    assert pushed(release, copy) == 3


def backup(release: Installed) -> bytes:
    """All that the guide says to keep, but for the key."""
    return done(release, "sh", "-c", f"cd {PLACE} && tar -cf - data/refmill.db* data/repos data/objects")


def test_a_whole_backup_comes_back_into_an_empty_volume(release: Installed, copy: Copy) -> None:
    release.change("maintenance=true", *WAIT)
    whole = backup(release)
    before = numbers(release)
    done(release, "sh", "-c", f"rm -rf {PLACE}/data")
    # Nothing is made there meanwhile, by a new pod neither.
    began = time.monotonic()
    release.cluster.kubectl("delete", "pod", f"{RELEASE}-0", "-n", release.namespace)
    assert time.monotonic() - began < GRACE / 2
    release.cluster.ready(release.namespace, f"{RELEASE}-0")
    assert done(release, "ls", "-A", PLACE) == b""
    done(release, "tar", "-C", PLACE, "-xf", "-", stdin=whole)
    release.change("maintenance=false", *WAIT)
    assert numbers(release) == before
    assert pushed(release, copy) == before[0] + 1
    keys = [release.secret(f"{RELEASE}-encryption")["secrets.key"], done(release, "cat", f"{PLACE}/data/secrets.key")]
    assert keys[0].encode() == keys[1]


def test_a_database_of_the_version_before_is_brought_forward(release: Installed, copy: Copy) -> None:
    before = numbers(release)
    release.change("maintenance=true", *WAIT)
    done(release, "/opt/refmill/.venv/bin/python", "-", stdin=BACKWARDS.encode())
    assert version(release) == BEFORE
    release.change("maintenance=false", *WAIT)
    assert version(release) == schema.REVISION
    assert numbers(release) == before
    assert pushed(release, copy) == before[0] + 1


def version(release: Installed) -> str:
    """The schema that the database has; asked without our commands, which would bring it forward."""
    asked = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('SELECT version_num FROM alembic_version').fetchone())"
    return done(release, "python3", "-c", asked, f"{PLACE}/data/refmill.db").decode().strip()


def test_a_release_whose_server_does_not_start_is_looked_after(release: Installed, copy: Copy) -> None:
    namespace = release.namespace
    kubectl = release.cluster.kubectl
    key = release.secret(f"{RELEASE}-encryption")["secrets.key"]
    patch = ("patch", "secret", f"{RELEASE}-encryption", "-n", namespace, "-p")
    kubectl(*patch, json.dumps({"stringData": {"secrets.key": "another"}}))
    kubectl("delete", "pod", f"{RELEASE}-0", "-n", namespace)
    prepare = ("logs", f"{RELEASE}-0", "-c", "prepare", "-n", namespace)
    release.cluster.wait_for(lambda: "differ" in kubectl.tried(*prepare).stdout, "the pod is refused")
    refused = release.cluster.pod(namespace, f"{RELEASE}-0")["metadata"]["uid"]
    release.change("maintenance=true")
    time.sleep(5)
    # A StatefulSet waits for a pod that is not ready before it replaces it, so that has to be deleted.
    assert release.cluster.pod(namespace, f"{RELEASE}-0")["metadata"]["uid"] == refused
    kubectl("delete", "pod", f"{RELEASE}-0", "-n", namespace)
    rolled = ("rollout", "status", f"statefulset/{RELEASE}", "-n", namespace, f"--timeout={MINUTES}m")
    kubectl(*rolled, seconds=MINUTES * 60 + 10)
    assert done(release, "cat", f"{PLACE}/data/secrets.key") == key.encode()
    kubectl(*patch, json.dumps({"stringData": {"secrets.key": key}}))
    before = numbers(release)
    release.change("maintenance=false", *WAIT)
    assert pushed(release, copy) == before[0] + 1
