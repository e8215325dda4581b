"""From the ref's update to the first command's exec, over pushes of the demo's pipeline to a running platform.

Each push changes one parameter of one model, as the demo's second one does; the stages' environment has been made
before. The pipeline's files are the demo's own, but for `date`, which stands before each model's command and is the
first that is executed. Prints the pipeline, and a table with medians; `git push` to a plain bare repository over the
file system stands beside the push.

    python bench/bench_push_to_first_command.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
from pathlib import Path

import peers
from peers import Copy, Platform

from refmill import settings
from refmill_web import wiring
from refmill_web.demo import story

WARM = 2
COMMAND = "cmd: python src/train.py"
STAGE = "train@forest"


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--rounds", type=int, default=15)
    rounds = asked.parse_args().rounds
    with peers.quiet() as folder:
        platform = Platform(folder / "data").start()
        try:
            copy = pushed(platform, folder / "copies")
            subprocess.run(["git", "init", "--quiet", "--bare", str(folder / "peer.git")], check=True)
            took = measure(platform, copy, folder / "peer.git", rounds + WARM)
        finally:
            platform.stop()
    show(took, rounds)


def pushed(platform: Platform, place: Path) -> Copy:
    """The working copy of the demo's pipeline, whose first run has ended."""
    token = platform.user("alice", "--admin")
    stage = story.Stage(platform.address, "alice", token, place, lambda _: None)
    environments = wiring.environments(settings.load({"data": platform.data}))
    made = environments.ready(story.HERE / "pipeline", "requirements.txt", trusted=True)
    story.push_dataset(stage, made.programs / "python")
    story.push_pipeline(stage)
    run = platform.ended(f"alice/{story.PIPELINE}", seconds=story.COMMAND_SECONDS)
    assert run["status"] == "succeeded", platform.log()
    copy = Copy(place / story.PIPELINE, dict(stage.environment()))
    _change(copy, "dvc.yaml", COMMAND, f"{COMMAND.replace('python', 'date +%s.%N; python')}")
    return copy


def measure(platform: Platform, copy: Copy, peer: Path, pushes: int) -> dict[str, list[float]]:
    """Push, read the ref's time and the command's, and compare."""
    took: dict[str, list[float]] = {}
    plain = f"git push to a bare repository on disk ({peers.git_version()})"
    (bare,) = (path for path in (platform.data / "repos").glob("*.git") if _holds(path, copy))
    for number in range(pushes):
        _change(copy, "params.yaml", f"trees: {200 + number}\n", f"trees: {201 + number}\n")
        copy.commit(str(number))
        took.setdefault(plain, []).append(peers.timed(copy, "git", "push", "--quiet", str(peer), "main"))
        took.setdefault("git push to Refmill, with its answer", []).append(
            peers.timed(copy, "git", "push", "--quiet", "origin", "main")
        )
        moved = (bare / "refs" / "heads" / "main").stat().st_mtime
        run = platform.ended(f"alice/{story.PIPELINE}", number + 2)
        assert run["status"] == "succeeded", platform.log()
        said = platform.refmill("logs", f"alice/{story.PIPELINE}#{run['number']}", STAGE)
        stamp = next(line for line in said.splitlines() if line.replace(".", "").isdigit())
        took.setdefault("ref updated → first command's exec", []).append(float(stamp) - moved)
    return took


def show(took: dict[str, list[float]], rounds: int) -> None:
    """The pipeline, and the table of what was measured after the first pushes."""
    lines = (story.HERE / "pipeline" / "requirements.txt").read_text(encoding="utf-8").split()
    print(f"The demo's pipeline, six stages with the environment of {' and '.join(lines)}, made before; {STAGE} runs\n")
    load = f"load {os.getloadavg()[0]:.1f}"
    print(f"| {rounds} pushes, after {WARM} to warm up ({load}) | median ms | 90 % ms |\n| --- | --- | --- |")
    for name, seconds in reversed(took.items()):
        kept = sorted(seconds[WARM:])
        late = kept[max(int(len(kept) * 0.9) - 1, 0)]
        print(f"| {name} | {statistics.median(kept) * 1000:.0f} | {late * 1000:.0f} |")


def _change(copy: Copy, file: str, old: str, new: str) -> None:
    text = (copy.path / file).read_text(encoding="utf-8")
    assert old in text, (file, old)
    copy.write({file: text.replace(old, new)})


def _holds(bare: Path, copy: Copy) -> bool:
    """Whether a bare repository has the copy's commit."""
    found = subprocess.run(["git", "-C", str(bare), "cat-file", "-e", copy.git("rev-parse", "HEAD").stdout.strip()],
                           capture_output=True, check=False)  # fmt: skip
    return found.returncode == 0


if __name__ == "__main__":
    main()
