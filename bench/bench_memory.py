"""Memory over thousands of runs: what the platform's processes hold after each few hundred.

    python bench/bench_memory.py [--runs 2000] [--every 250]

The runs come in pushes of 25 branches each and are worked off before the next push, so that there is never a long
queue: what grows here, grows for ever.
"""

from __future__ import annotations

import argparse

from peers import Platform, new_copy, quiet

import loads
from platforms import OVER, wait

AT_ONCE = 25


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--runs", type=int, default=2000)
    asked.add_argument("--every", type=int, default=250)
    options = asked.parse_args()
    with quiet() as folder:
        platform = Platform(folder / "data").start("--cpus", "2")
        try:
            platform.user("alice", "--admin")
            copy = new_copy(folder / "copy", {"dvc.yaml": loads.PIPELINE, "in.txt": "start\n"})
            print("| Runs | Engine | Web | Resolver |\n| --- | --- | --- | --- |", flush=True)
            for done in range(AT_ONCE, options.runs + 1, AT_ONCE):
                for number in range(done - AT_ONCE, done):
                    copy.write({"in.txt": f"{number}\n"}).commit(str(number))
                    copy.git("branch", f"b{number}")
                copy.git("push", "--quiet", platform.url("alice/line", "alice"), "refs/heads/b*")
                wait(lambda done=done: _ended(platform) >= done, f"{done} runs end", 600)
                if done == AT_ONCE or done % options.every == 0:
                    held = loads.resident(platform)
                    figures = " | ".join(f"{held[name] >> 20} MiB" for name in ("engine", "web", "resolver"))
                    print(f"| {done} | {figures} |", flush=True)
        finally:
            platform.stop()


def _ended(platform: Platform) -> int:
    statuses = ", ".join(f"'{status}'" for status in sorted(OVER))
    return int(platform.query(f"SELECT count(*) FROM runs WHERE status IN ({statuses})")[0][0])


if __name__ == "__main__":
    main()
