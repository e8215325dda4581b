"""`refmill run --pull`: data that lack come from the project's DVC remote, by DVC itself, whatever its kind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from refmill import errors
from refmill.engine.inplace_data import needed
from refmill.formats.hashing import FileHash
from refmill.model.pipelines import Pipeline
from refmill.plans.decide import Memory, absent_objects
from refmill.texts import text
from refmill_web.cli.speech import tell


def fetch(root: Path, pipeline: Pipeline, memory: Memory, stages: Collection[str]) -> None:
    """Bring into the cache the tracked data that neither it nor the working copy has, and recorded outputs as far as
    the remote has them: what it lacks is made anew. Raises Unavailable if data cannot be had."""
    tracked = [address for address in needed(pipeline, stages) if _lacks_data(root, pipeline, memory, address)]
    made = [address for address in stages if _lacks_outputs(pipeline, memory, address)]
    if not (tracked or made):
        return
    tell(text("fetching %(count)s targets from the DVC remote", count=len(tracked) + len(made)), err=True)
    if tracked and (failed := _dvc_fetch(root, tracked)):
        raise errors.Unavailable(
            text("`dvc fetch` brought not all of the data: %(detail)s", detail=failed),
            text("Look at `dvc remote list` and try `dvc fetch` itself."),
        )
    if made:
        _dvc_fetch(root, made)


def _dvc_fetch(root: Path, targets: list[str]) -> str:
    """What DVC says of targets that it could not fetch whole, "" if it could."""
    command = [sys.executable, "-m", "dvc", "fetch", "--", *targets]
    done = subprocess.run(command, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    words = " ".join((done.stderr or done.stdout).split())[-500:]
    return "" if done.returncode == 0 else words or f"exit code {done.returncode}"


def _lacks_data(root: Path, pipeline: Pipeline, memory: Memory, address: str) -> bool:
    return any(
        out.cache and not (root / out.root).exists() and absent_objects([out.md5], memory.objects)
        for out in pipeline.data[address].outs
    )


def _lacks_outputs(pipeline: Pipeline, memory: Memory, address: str) -> bool:
    recorded = {
        out["path"]: FileHash.of(out).md5 for out in pipeline.lock.get(address, {}).get("outs", ()) if "md5" in out
    }
    cached = [recorded[out.path] for out in pipeline.stages[address].outs if out.cache and out.path in recorded]
    return bool(absent_objects(cached, memory.objects))
