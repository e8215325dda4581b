"""Load on a running platform: many pushes at once, many followers, a long queue. For tests and for the bench."""

import json
import math
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import requests
from simple_websocket import Client, ConnectionClosed

from platforms import Copy, Platform, new_copy, wait

PIPELINE = "stages:\n  a: {cmd: 'cat in.txt > a.txt', deps: [in.txt], outs: [a.txt]}\n"
KINDS = ("one branch", "branches", "repositories")


@dataclass
class Storm:
    """What became of pushes that came at once: the shas that were taken, how long each took, and what was refused."""

    taken: list[tuple[str, str]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def storm(platform: Platform, folder: Path, kind: str, count: int, name: str) -> Storm:
    """`count` pushes at once to one branch, to as many branches, or to as many repositories that are not there yet."""
    platform.user("alice", "--admin")
    base = new_copy(folder / "base", {"dvc.yaml": PIPELINE, "in.txt": "base\n"})
    if kind != "repositories":
        base.git("push", "--quiet", platform.url(f"alice/{name}", "alice"), "main")
        platform.ended(f"alice/{name}")
    jobs: list[tuple[Copy, str, str, str]] = []
    for number in range(count):
        base.git("clone", "--quiet", str(base.path), str(folder / f"clone{number}"))
        copy = Copy(folder / f"clone{number}").write({"in.txt": f"{number}\n"})
        target = f"alice/{name}{number}" if kind == "repositories" else f"alice/{name}"
        branch = f"b{number}" if kind == "branches" else "main"
        jobs.append((copy, target, branch, copy.commit(str(number))))
    found, guard, gate = Storm(), threading.Lock(), threading.Barrier(count)

    def push(job: tuple[Copy, str, str, str]) -> None:
        copy, target, branch, sha = job
        gate.wait()
        began = time.monotonic()
        done = copy.git("push", platform.url(target, "alice"), f"HEAD:refs/heads/{branch}", check=False)
        with guard:
            found.seconds.append(time.monotonic() - began)
            if done.returncode == 0:
                found.taken.append((target, sha))
            else:
                found.refused.append(done.stderr)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(push, jobs))
    return found


def signed_in(platform: Platform, name: str) -> str:
    """The cookies of somebody who has signed in with a browser."""
    session = requests.Session()
    form = session.get(f"{platform.address}/login", timeout=30).text
    field_name = "csrf" + form.partition('name="csrf')[2].partition('"')[0]
    token = form.partition(f'name="{field_name}"')[2].partition('value="')[2].partition('"')[0]
    data = {"name": name, "password": f"secret-{name}", field_name: token}
    session.post(f"{platform.address}/login", data, timeout=30)
    return "; ".join(f"{key}={value}" for key, value in session.cookies.items())


@contextmanager
def followers(platform: Platform, run_id: str, stage: str, count: int, cookies: str) -> Iterator[list[list[int]]]:
    """`count` people who follow a stage's log by WebSocket; gives the numbers of the lines that each has seen by now;
    at the end all of them see it."""
    address = f"{platform.address.replace('http', 'ws', 1)}/ws/runs/{run_id}?stage={stage}"
    seen: list[list[int]] = [[] for _ in range(count)]
    clients: list[Client] = []

    def follow(mine: list[int], client: Client) -> None:
        with suppress(ConnectionClosed):
            while (message := json.loads(client.receive()))["type"] != "end":
                if message["type"] == "log":
                    mine.extend(row["n"] for row in message["rows"])

    threads = []
    for mine in seen:
        client = Client(address, headers={"Cookie": cookies})
        clients.append(client)
        threads.append(threading.Thread(target=follow, args=(mine, client), daemon=True))
        threads[-1].start()
    try:
        yield seen
    finally:
        for thread in threads:
            thread.join(20)
        for client in clients:
            with suppress(ConnectionClosed, OSError):  # the server may close it at the same moment
                client.close()


def queue_up(platform: Platform, folder: Path, owners: Sequence[str], each: int) -> Path:
    """A held machine, and behind it `each` runs of each owner, all of them pushed; gives the file that lets go."""
    go = folder / "go"
    stages = "".join(
        f"  hold{number}: {{cmd: 'while ! test -e {go}; do sleep 0.1; done; echo 1 > h{number}', outs: [h{number}]}}\n"
        for number in range(2)
    )
    platform.user("zeus", "--admin")
    hold = new_copy(folder / "hold", {"dvc.yaml": f"stages:\n{stages}"})
    hold.git("push", "--quiet", platform.url("zeus/hold", "zeus"), "main")
    for owner in owners:
        platform.user(owner)
        copy = new_copy(folder / owner, {"dvc.yaml": PIPELINE, "in.txt": f"{owner}\n"})
        for number in range(each):
            copy.write({"in.txt": f"{owner} {number}\n"}).commit(str(number))
            copy.git("branch", f"b{number}")
        copy.git("push", "--quiet", platform.url(f"{owner}/line", owner), "refs/heads/b*")
    planned = len(owners) * each
    wait(lambda: _count(platform, "queued") == planned, f"{planned} runs are queued", 600)
    return go


def _count(platform: Platform, status: str) -> int:
    return int(platform.query("SELECT count(*) FROM runs WHERE status = ?", status)[0][0])


def unfairness(platform: Platform, owners: Sequence[str], since: float) -> float:
    """The longest mean wait of an owner, over that of all, from the moment `since` (Unix seconds) on."""
    means = []
    for owner in owners:
        began = platform.query(
            "SELECT started FROM runs JOIN repositories ON repository_id = repositories.id"
            " JOIN users ON owner_id = users.id WHERE users.name = ?", owner,
        )  # fmt: skip
        means.append(statistics.mean(row[0] / 1e6 - since for row in began))
    return max(means) / statistics.mean(means)


def resident(platform: Platform) -> dict[str, int]:
    """Bytes that the platform's processes hold in memory, by name."""
    found = {}
    told = subprocess.run(
        ["ps", "-o", "pid=,rss=,args=", "--ppid", str(platform.process.pid)], capture_output=True, text=True, check=True
    ).stdout
    for line in told.splitlines():
        _, rss, command = line.split(None, 2)
        for name in ("web", "engine", "resolver"):
            if f"refmill_web.processes.{name}" in command:
                found[name] = int(rss) * 1024
    return found


def reached(values: Sequence[float], part: float) -> float:
    """The value that `part` of the sorted `values` do not pass: the smallest with at least so many at or below it."""
    return values[max(0, math.ceil(round(len(values) * part, 6)) - 1)]


def dispatched(platform: Platform, since: float) -> list[float]:
    """Seconds from a push's announcement to its first stage's start, of all runs announced after `since`."""
    rows = platform.query(
        "SELECT min(stage_attempts.started) - events.created FROM events JOIN stage_attempts"
        " ON stage_attempts.run_id = events.run_id WHERE events.created > ? GROUP BY events.id"
        " HAVING min(stage_attempts.started) IS NOT NULL", int(since * 1e6),
    )  # fmt: skip
    return sorted(row[0] / 1e6 for row in rows)
