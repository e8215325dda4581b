"""Makes random projects: the same seed gives the same project. `python generator.py SEED` prints one.

Every project is one that DVC takes: paths do not overlap, commands make their directories, what is written is read by
DVC as it was meant. Names, values and styles are as odd as that allows.
"""

from __future__ import annotations

import random
import sys

from archive import Project, parse
from changes import changes
from ground import Ground
from stages import Stages


def make(seed: int) -> Project:
    """The project of this seed, with one change of each kind; some have been run once before the last of the changes."""
    ground = Ground(random.Random(seed))
    ground.sources()
    ground.settings()
    stages = Stages(ground)
    files = (
        ["dvc.yaml"]
        + (["sub/dvc.yaml"] if ground.chance(0.3) else [])
        + (["a folder/ü/dvc.yaml"] if ground.chance(0.1) else [])
    )
    for file in files:
        stages.variables(file)
    for _ in range(ground.rng.randint(2, 5)):
        stages.add(ground.rng.choice([*files, "dvc.yaml"]))
    stages.definitions = {file: stages.complete(file) for file in files}
    for file, definition in stages.definitions.items():
        ground.files[file] = ground.written(definition, file)
        if ground.chance(0.1):
            ground.marks[file] = "crlf"
    changed = changes(ground, stages)
    if ground.chance(0.12):
        before = ground.rng.choice(["a source", "a parameter", "a command"])
        ground.do += ["dvc repro --quiet --all-pipelines", changed.pop(before)]
    head = [f"Random project {seed}.", *(f"do: {command}" for command in ground.do)]
    head += [f"change: {what} | {command}" for what, command in changed.items()]
    head += [f"show: {what} show --json" for what in ("metrics", "plots") if stages.measured]
    head += ["restless: yes"] if stages.restless else []
    links = [f"-- {path} -> {target} --" for path, target in ground.links.items()]
    files_of = [_file(path, text, ground.marks.get(path, "")) for path, text in ground.files.items()]
    return parse(f"seed-{seed}", "\n".join([*head, *files_of, *links]) + "\n")


def _file(path: str, text: str, mark: str) -> str:
    marks = ", ".join([mark] * bool(mark) + ["open"] * (not text.endswith("\n")))
    return f"-- {path}{f' ({marks})' if marks else ''} --\n{text.removesuffix(chr(10))}"


if __name__ == "__main__":
    sys.stdout.write(make(int(sys.argv[1])).source)
