"""From the ref's update to the first command's exec, over pushes of a small pipeline to a running platform.

Prints a table with medians; `git push` to a plain bare repository over the file system stands beside the push.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from platforms import Platform, new_copy

ROUNDS = 15
PIPELINE = """\
stages:
  first:
    cmd: date +%s.%N > stamp.txt
    deps: [number.txt]
    outs:
      - stamp.txt:
          cache: false
"""


def main() -> None:
    """Measure and print."""
    scripts = Path(sys.executable).parent
    os.environ |= {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(Path(folder, "data")).start()
        try:
            measure(platform, Path(folder))
        finally:
            platform.stop()


def measure(platform: Platform, folder: Path) -> None:
    """Push, read the ref's time and the command's, and compare."""
    platform.user("alice", "--admin")
    url = platform.url("alice/bench", "alice")
    copy = new_copy(folder / "copy", {"dvc.yaml": PIPELINE, "number.txt": "start\n"})
    subprocess.run(["git", "init", "--quiet", "--bare", str(folder / "peer.git")], check=True)
    waits, ours, peers = [], [], []
    for number in range(ROUNDS + 2):
        copy.write({"number.txt": f"{number}\n"}).commit(str(number))
        began = time.perf_counter()
        copy.git("push", "--quiet", str(folder / "peer.git"), "main")
        peers.append(time.perf_counter() - began)
        began = time.perf_counter()
        copy.git("push", "--quiet", url, "main")
        ours.append(time.perf_counter() - began)
        run = platform.ended("alice/bench", number + 1)
        (bare,) = (platform.data / "repos").glob("*.git")
        moved = (bare / "refs" / "heads" / "main").stat().st_mtime
        copy.git("fetch", "--quiet", url, f"+refs/exps/*/run-{run['number']}:refs/bench/*")
        ref = copy.git(
            "for-each-ref", "--format=%(refname)", f"refs/bench/{run['commit'][:2]}/{run['commit'][2:]}"
        ).stdout.split()[0]
        waits.append(float(copy.git("show", f"{ref}:stamp.txt").stdout) - moved)
    version = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    rows = {
        "ref updated → first command's exec": waits,
        "git push to Refmill, with its answer": ours,
        f"git push to a bare repository on disk ({version})": peers,
    }
    print(f"| {ROUNDS} pushes, after 2 to warm up | median ms | 90 % ms |\n| --- | --- | --- |")
    for name, seconds in rows.items():
        kept = sorted(seconds[2:])
        print(f"| {name} | {statistics.median(kept) * 1000:.0f} | {kept[int(len(kept) * 0.9) - 1] * 1000:.0f} |")


if __name__ == "__main__":
    main()
