"""Which stages a person means: names, groups, files and outputs, as `dvc repro` takes them."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Collection, Iterable
from pathlib import Path

from refmill import errors
from refmill.model.pipelines import Pipeline
from refmill.specs import alike
from refmill.texts import text


def named(pipeline: Pipeline, root: Path, folder: Path, targets: Iterable[str]) -> set[str]:
    """The addresses that `targets` mean, seen from `folder`: a stage or a group of its dvc.yaml, a stage of another
    (`dir/dvc.yaml:name`), a whole dvc.yaml, or an output. Raises NotFound."""
    here = Path(os.path.relpath(folder.resolve(), root.resolve())).as_posix()
    found: set[str] = set()
    for target in targets:
        mine = _meant(pipeline, "" if here == "." else here, target)
        if not mine:
            raise errors.NotFound(
                text("there is no stage “%(name)s”", name=target),
                alike(target, _names(pipeline), text("This project has no stages.")),
            )
        found |= mine
    return found


def _names(pipeline: Pipeline) -> set[str]:
    """What can be named: stages, and groups of which there are several."""
    groups = {stage.address.replace(stage.name, stage.group) for stage in pipeline.stages.values()}
    return set(pipeline.stages) | groups


def _meant(pipeline: Pipeline, here: str, target: str) -> set[str]:
    file, _, name = target.rpartition(":")
    path = posixpath.normpath(posixpath.join(here, file or "dvc.yaml"))
    mine = {
        address
        for address, stage in pipeline.stages.items()
        if stage.file == path and name in (stage.name, stage.group)
    }
    if mine or file:
        return mine
    whole = posixpath.normpath(posixpath.join(here, target))
    return {
        address for address, stage in pipeline.stages.items()
        if stage.file == whole or address == target or any(out.root == whole for out in stage.outs)
    }  # fmt: skip


def above(pipeline: Pipeline, start: Collection[str]) -> set[str]:
    """`start` and all that it depends on; a frozen stage is not looked behind, as in DVC."""
    found = set(start)
    queue = list(start)
    while queue:
        address = queue.pop()
        if pipeline.stages[address].frozen:
            continue
        new = {other for other in pipeline.upstream.get(address, ()) if other in pipeline.stages} - found
        found |= new
        queue += new
    return found


def below(pipeline: Pipeline, start: Collection[str]) -> set[str]:
    """`start` and all that depends on it."""
    users: dict[str, list[str]] = {}
    for address, needs in pipeline.upstream.items():
        if address in pipeline.stages and not pipeline.stages[address].frozen:
            for other in needs:
                users.setdefault(other, []).append(address)
    found = set(start)
    queue = list(start)
    while queue:
        new = set(users.get(queue.pop(), ())) - found
        found |= new
        queue += new
    return found
