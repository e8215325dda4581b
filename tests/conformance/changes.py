"""Changes to a random project after its first run, each a line of shell: see `Project.change`."""

from __future__ import annotations

import copy
import shlex
from typing import Any

from ground import SHOWN, Ground
from stages import Stages


def changes(ground: Ground, stages: Stages) -> dict[str, str]:
    """One of each kind for which the project has something."""
    source = ground.rng.choice([path for path in ground.files if path in ground.plain])
    changed = f"echo changed >> {_quoted(source)}"
    found = {"a source": changed, "a parameter": _parameter(ground), "a command": _command(ground, stages)}
    file = ground.rng.choice([*ground.params, *stages.definitions])
    found["only the style"] = _rewrite(ground, file, ground.params.get(file) or stages.definitions[file])
    if made := [output for output in ground.there if output.made]:
        found |= _outputs(ground, made)
    back = f" && dvc checkout --quiet -- {' '.join(map(_quoted, ground.tracks))}" if ground.tracks else ""
    found["all results are deleted"] = f"git clean -qfdx -e .dvc && git checkout -q .{back}"
    found["a change, a run and the change back"] = (
        f"{changed}; dvc repro --quiet --all-pipelines; git checkout -q -- {_quoted(source)}"
    )
    found["a stage is frozen, and a source changed"] = f"{_command(ground, stages, frozen=True)}; {changed}"
    if ground.tracked:
        path = ground.rng.choice(ground.tracked)
        if stages.read & {path, path.rpartition("/")[0]}:  # what no stage reads is left alone by Refmill: docs/dvc.md
            found["tracked data"] = f"echo more >> {_quoted(path)}"
    return found


def _quoted(path: str) -> str:
    return shlex.quote("./" + path)


def _outputs(ground: Ground, made: list[Any]) -> dict[str, str]:
    output = ground.rng.choice(made)
    inside = ground.rng.choice(output.inside) if output.inside else ""
    edited = _quoted(f"{output.path}/{inside}" if inside else output.path)
    found = {
        "an output is deleted": f"rm -rf {_quoted(output.path)}",
        "an output is edited": f"rm -f {edited}; echo mine > {edited}",
    }
    if inside:
        found["a file more in an output"] = f"echo more > {_quoted(output.path)}/more"
    return found


def _parameter(ground: Ground) -> str:
    file = ground.rng.choice(list(ground.params))
    values = copy.deepcopy(ground.params[file])
    place: Any = values
    key = ground.rng.choice(list(values))
    while isinstance(place[key], dict):
        place = place[key]
        key = ground.rng.choice(list(place))
    old = place[key]
    place[key] = [*old, 1] if isinstance(old, list) else ground.rng.choice([new for new in SHOWN if new != old])
    return _rewrite(ground, file, values)


def _command(ground: Ground, stages: Stages, *, frozen: bool = False) -> str:
    """Another command in a stage, or the stage frozen."""
    file = ground.rng.choice([file for file, definition in stages.definitions.items() if "stages" in definition])
    definition = copy.deepcopy(stages.definitions[file])
    stage = ground.rng.choice(list(definition["stages"].values()))
    stage = stage.get("do", stage)
    if frozen:
        stage["frozen"] = True
        return _rewrite(ground, file, definition)
    stage["cmd"] = [*stage["cmd"], "true"] if isinstance(stage["cmd"], list) else "true; " + stage["cmd"]
    return _rewrite(ground, file, definition)


def _rewrite(ground: Ground, file: str, values: Any) -> str:
    """Write the file anew; YAML and JSON may come out in another style."""
    text = ground.written(values, file).replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"printf %b {shlex.quote(text)} > {_quoted(file)}"
