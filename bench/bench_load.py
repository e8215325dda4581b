"""Load: pushes at once, followers of a log, a long queue of many owners, and memory under constant pushes.

    python bench/bench_load.py [--minutes 2] [--pause 0] [--runs 1000] [--followers 50]

Everything goes through real pushes over loopback. The queue is made behind a held machine: each owner pushes its
branches in one push, and the machine is let go when all runs are queued.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from peers import Platform, new_copy, quiet

import loads
from platforms import OVER, wait

OWNERS = tuple(f"owner{number}" for number in range(10))
PUSHES = 20


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--minutes", type=float, default=2.0)
    asked.add_argument("--pause", type=float, default=0.0, help="seconds between two of the constant pushes")
    asked.add_argument("--runs", type=int, default=1000)
    asked.add_argument("--followers", type=int, default=50)
    options = asked.parse_args()
    with quiet() as folder:
        platform = Platform(folder / "data").start("--trust-all-users", "--cpus", "2", "--viewers", "60")
        try:
            print("| Load | Figure |\n| --- | --- |")
            at_once(platform, folder)
            following(platform, folder, options.followers)
            queue(platform, folder, options.runs // len(OWNERS))
            memory(platform, folder, options.minutes, options.pause)
        finally:
            platform.stop()


def row(what: str, figure: str) -> None:
    """A line of the table, as soon as it is known."""
    print(f"| {what} | {figure} |", flush=True)


def at_once(platform: Platform, folder: Path) -> None:
    """Pushes that come at the same moment."""
    for kind in loads.KINDS:
        name = kind.replace(" ", "-")
        found = loads.storm(platform, folder / name, kind, PUSHES, name)
        median, most = statistics.median(found.seconds), max(found.seconds)
        row(f"{PUSHES} pushes at once: {kind}", f"{len(found.taken)} taken, {len(found.refused)} refused; "
            f"median {median:.2f} s, longest {most:.2f} s")  # fmt: skip
        settle(platform)


def settle(platform: Platform, seconds: float = 900) -> None:
    """Wait until nothing runs."""
    statuses = ", ".join(f"'{status}'" for status in sorted(OVER))
    wait(
        lambda: platform.query(f"SELECT count(*) FROM runs WHERE status NOT IN ({statuses})") == [(0,)],
        "all runs end", seconds,
    )  # fmt: skip


def following(platform: Platform, folder: Path, count: int) -> None:
    """People who follow the log of a stage that writes a line ten times a second."""
    command = "for i in $(seq 100); do date +%s.%N; sleep 0.1; done; echo 1 > a.txt"
    copy = new_copy(folder / "chatty", {"dvc.yaml": f"stages:\n  a: {{cmd: '{command}', outs: [a.txt]}}\n"})
    copy.git("push", "--quiet", platform.url("alice/chatty", "alice"), "main")
    run = wait(lambda: platform.runs("alice/chatty"), "the run is there")[0]
    before = loads.resident(platform)
    with loads.followers(platform, run["id"], "a", count, loads.signed_in(platform, "alice")) as seen:
        pass
    lines = range(1, 103)  # that there is no sandbox here, the command itself, and what it prints
    whole = sum(1 for mine in seen if mine == list(lines))
    after = loads.resident(platform)
    row(f"{count} followers of one log of {len(lines)} lines",
        f"{whole} saw every line once; web {before['web'] >> 20} → {after['web'] >> 20} MiB")  # fmt: skip


def queue(platform: Platform, folder: Path, each: int) -> None:
    """Runs of ten owners behind a held machine."""
    before = loads.resident(platform)
    began = time.time()
    go = loads.queue_up(platform, folder / "queue", OWNERS, each)
    queued, since = time.time() - began, time.time()
    go.touch()
    settle(platform, 3600)
    took, after = time.time() - since, loads.resident(platform)
    unfair = loads.unfairness(platform, OWNERS, since)
    row(f"{each * len(OWNERS)} runs of {len(OWNERS)} owners", f"queued in {queued:.0f} s, worked off in {took:.0f} s")
    row("longest mean wait of an owner, over that of all", f"{unfair:.3f}")
    row(
        "memory before and after", ", ".join(f"{name} {before[name] >> 20} → {after[name] >> 20} MiB" for name in after)
    )


def memory(platform: Platform, folder: Path, minutes: float, pause: float) -> None:
    """Constant pushes: how soon each starts, and what the processes hold."""
    copy = new_copy(folder / "constant", {"dvc.yaml": loads.PIPELINE, "in.txt": "start\n"})
    since, series, number = time.time(), [], 0
    marks = [since + minutes * 60 * part / 8 for part in range(9)]
    while time.time() < since + minutes * 60:
        copy.write({"in.txt": f"{number}\n"}).commit(str(number))
        copy.git("push", "--quiet", platform.url("alice/constant", "alice"), "main")
        number += 1
        time.sleep(pause)
        if marks and time.time() >= marks[0]:
            series.append(loads.resident(platform))
            marks.pop(0)
    settle(platform)
    series.append(loads.resident(platform))
    waits = loads.dispatched(platform, since)
    median, late = statistics.median(waits) * 1000, loads.reached(waits, 0.99) * 1000
    what = f"{number} pushes in {minutes:g} minutes: until the first stage starts"
    row(what, f"median {median:.0f} ms, 99 % {late:.0f} ms")
    for name in ("web", "engine", "resolver"):
        row(f"memory of {name} meanwhile", " ".join(str(point[name] >> 20) for point in series) + " MiB")


if __name__ == "__main__":
    main()
