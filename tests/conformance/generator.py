"""Makes random projects: the same seed gives the same project. `python generator.py SEED` prints one.

Every project is one that DVC takes: paths do not overlap, commands make their directories, values are plain.
"""

from __future__ import annotations

import json
import posixpath
import random
import shlex
import sys
from dataclasses import dataclass, field
from typing import Any

import yaml
from archive import Project, parse

WORDS = [
    "a", "b2", "model", "x-y", "under_score", "UPPER", "with space", "it's", "ümlaut", "数据", "dot.ted", "#hash", "1",
    "007", "null", "true", "no", "x1e3", "plus+", "comma,", "at", "tilde~", "per%cent", "back`tick", "semi;colon",
]  # fmt: skip
"""Names of files; of keys and stages only those that DVC takes."""
PLAIN = ["fit", "prepare", "b2", "x-y", "under_score", "UPPER", "z9", "last", "One", "t-1", "2nd", "true", "null"]
VALUES = [0, 1, -7, 2.5, 1e-3, 1.0, 1e20, True, False, "text", "two words", "", "yes", "1.0", "ü", "a: b", "#", "it's"]
SHOWN = [0, 1, -7, 2.5, 1e-3, 1.0, True, False, "text", "x1"]
"""Values that may stand in a command."""


@dataclass(slots=True)
class Output:
    """An output, or a file of git, that a stage may read: its path from the root, and what lies in it."""

    path: str
    inside: tuple[str, ...] = ()


@dataclass(slots=True)
class Maker:
    """A project as it grows."""

    rng: random.Random
    files: dict[str, str] = field(default_factory=dict)
    there: list[Output] = field(default_factory=list)
    definitions: dict[str, dict[str, Any]] = field(default_factory=dict)
    params: dict[str, dict[str, Any]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    restless: bool = False

    def chance(self, share: float) -> bool:
        """Whether something that happens in this share of the cases happens now."""
        return self.rng.random() < share

    def new(self, words: list[str], folder: str = "") -> str:
        """A path that nothing has yet; no two differ in case only."""
        while True:
            name = self.rng.choice(words) + (str(self.rng.randrange(100)) if self.chance(0.6) else "")
            path = posixpath.join(folder, name)
            if path.lower() not in self.used:
                self.used.add(path.lower())
                return path

    def sources(self) -> None:
        """Files in git."""
        for _ in range(self.rng.randint(1, 3)):
            path = self.new(WORDS, self.rng.choice(["", "", "src", "src/deep"]))
            self.files[path] = self.rng.choice(["", "one\n", "one\ntwo\n", "ü\n", "no end"])
            self.there.append(Output(path))
        if self.chance(0.4):
            folder = self.new(WORDS, "")
            inside = tuple(self.rng.sample(WORDS, 3))
            for name in inside:
                self.files[f"{folder}/{name}"] = f"{name}\n"
            self.there.append(Output(folder, inside))

    def values(self) -> None:
        """Parameter files of several forms. `deep` and `list` are always there."""
        for file in ["params.yaml", *self.rng.sample(["more.json", "conf.toml", "other.yaml"], self.rng.randint(0, 2))]:
            prefix = file[0]
            self.params[file] = {
                f"{prefix}_{name}": self.rng.choice(VALUES) for name in self.rng.sample(PLAIN, self.rng.randint(1, 4))
            } | {
                f"{prefix}deep": {"er": {"lr": self.rng.choice(SHOWN)}, "name": self.rng.choice(SHOWN)},
                f"{prefix}list": [self.rng.choice(SHOWN) for _ in range(self.rng.randint(1, 3))],
            }
            self.files[file] = self.written(self.params[file], file)

    def written(self, values: Any, file: str) -> str:
        """Values in a file's form, YAML in one of several styles."""
        if file.endswith(".toml"):
            return _toml(values)
        if file.endswith(".json"):
            return json.dumps(values, indent=self.rng.choice([None, 1])) + "\n"
        style = self.rng.choice(["block", "block", "mixed", "flow", "quoted", "json"])
        if style == "json":
            return json.dumps(values, ensure_ascii=self.chance(0.5), indent=2) + "\n"
        written: str = yaml.safe_dump(
            values, sort_keys=False, width=1000 if style == "quoted" else self.rng.choice([20, 80, 1000]), allow_unicode=self.chance(0.5),
            default_flow_style={"block": False, "quoted": False, "mixed": None, "flow": True}[style],
            default_style='"' if style == "quoted" else None, indent=self.rng.choice([2, 4]),
        )  # fmt: skip
        if style == "block" and self.chance(0.5):
            written = "# a comment\n" + written.replace("\nstages:\n", "\n\nstages: # here they are\n")
        return written

    def expression(self, file: str) -> str:
        """A variable that can stand in a command."""
        prefix = file[0]
        return self.rng.choice([f"${{{prefix}deep.er.lr}}", f"${{ {prefix}deep.name }}", f"${{{prefix}list[0]}}"])

    def stage(self, file: str) -> None:
        """A stage, or several by a loop, in the dvc.yaml `file`."""
        folder = posixpath.dirname(file)
        loop = self.rng.choice([None, None, None, "list", "dict", "matrix"])
        here = posixpath.join(folder, self.rng.choice(["wd", "wd/er"])) if self.chance(0.2) else folder
        item = {None: "", "list": "-${item}", "dict": "-${key}", "matrix": "-${item.a}-${item.b}"}[loop]
        body: dict[str, Any] = {}
        if here != folder:
            body["wdir"] = posixpath.relpath(here, folder or ".")
            self.files.setdefault(posixpath.join(here, "keep"), "")
        reads = self.rng.sample(self.there, min(len(self.there), self.rng.randint(0, 3)))
        deps, commands = [], []
        for number, found in enumerate(reads):
            part = self.rng.choice(found.inside) if found.inside and self.chance(0.4) else ""
            path = posixpath.relpath(posixpath.join(found.path, part), here or ".")
            deps.append(path)
            quoted = shlex.quote("./" + path)
            whole = (
                f"find {quoted} -type f ! -name .gitignore -exec cat {{}} + | sort"
                if found.inside and not part
                else f"cat {quoted}"
            )
            commands.append(f"{whole} {'>' if number == 0 else '>>'} $T")
        if not deps:
            commands.append("echo nothing > $T")
        if deps:
            body["deps"] = deps
        variable = self.settings(body, folder, here)
        commands.append(f"echo {variable or 'plain'} {item or 'once'} >> $T")
        script = "T=$(mktemp); " + "; ".join(commands)
        outs = [self.out(body, here, item) for _ in range(self.rng.randint(1, 2))]
        steps = [f"{script}; {' && '.join(outs)} && rm $T"]
        if self.chance(0.2):
            steps.append("true")
        body["cmd"] = steps if len(steps) > 1 or self.chance(0.1) else steps[0]
        if self.chance(0.1):
            body |= {"desc": "says what it does", "meta": {"any": [1, {"x": None}]}}
        if self.chance(0.05) and not loop:
            body["always_changed"] = True
            self.restless = True
        stages = self.definitions.setdefault(file, {"stages": {}})["stages"]
        order = list(body)
        self.rng.shuffle(order)
        stages[self.name(stages)] = self.looped(loop, {key: body[key] for key in order})

    def name(self, stages: dict[str, Any]) -> str:
        """A stage's name that is not there yet."""
        free = [name for name in PLAIN if name not in stages]
        return self.rng.choice(free)

    def looped(self, loop: str | None, body: dict[str, Any]) -> dict[str, Any]:
        """A stage's definition within its loop."""
        if loop == "list":
            return {"foreach": self.rng.sample([1, "u", 2.5, True, "w v"], 2), "do": body}
        if loop == "dict":
            return {"foreach": {key: {"v": self.rng.choice(SHOWN)} for key in self.rng.sample(PLAIN, 2)}, "do": body}
        if loop == "matrix":
            return {"matrix": {"a": self.rng.sample([1, "u", True], 2), "b": ["x"]}, **body}
        return body

    def settings(self, body: dict[str, Any], folder: str, here: str) -> str:
        """Parameters of a stage; gives a variable for its command, or ""."""
        if not self.chance(0.5):
            return ""
        wanted: list[Any] = []
        for file in self.rng.sample(list(self.params), self.rng.randint(1, len(self.params))):
            values = self.params[file]
            keys = self.rng.sample(list(values), self.rng.randint(1, min(3, len(values))))
            keys += [f"{file[0]}deep.er"] if self.chance(0.3) else []
            path = posixpath.relpath(file, here or ".")
            if path == "params.yaml":
                wanted += keys
            else:
                wanted.append({path: None if self.chance(0.2) else keys})
        body["params"] = wanted
        return self.expression("params.yaml") if not folder else ""

    def out(self, body: dict[str, Any], here: str, item: str) -> str:
        """An output of a stage; gives the command that makes it of the file $T."""
        path = self.new(WORDS, self.rng.choice([here, here, posixpath.join(here, "made")]))
        named = posixpath.relpath(path, here or ".") + item
        target = f"'./{named}'" if "'" not in named else '"./' + named.replace("`", "\\`") + '"'
        kind = self.rng.choice(["outs", "outs", "outs", "folder", "metrics", "plots"])
        flags: dict[str, Any] = {}
        if self.chance(0.3):
            flags["cache"] = False
        if self.chance(0.15):
            flags["persist"] = True
        if self.chance(0.1):
            flags["desc"] = "an output"
        body.setdefault("outs" if kind == "folder" else kind, []).append({named: flags} if flags else named)
        if kind == "folder":
            inside = tuple(self.rng.sample(["f", "g h", "sub/ü", "sub/er/x", "B", "a-b"], 2))
            if not item:
                self.there.append(Output(path, inside))
            parts = [f"mkdir -p {target}/sub/er", *(f"cp $T {target}/{shlex.quote(name)}" for name in inside)]
            return " && ".join(parts)
        if not item:
            self.there.append(Output(path))
        write = 'echo "{\\"v\\": $(wc -l < $T)}" >' if kind == "metrics" else "cat $T >"
        return f'mkdir -p "$(dirname {target})" && {write} {target}'


def _toml(values: dict[str, Any]) -> str:
    """Values as TOML, the tables last."""
    plain = {key: value for key, value in values.items() if not isinstance(value, dict)}
    lines = [f"{json.dumps(key)} = {_toml_value(value)}" for key, value in plain.items()]
    for key, value in values.items():
        if isinstance(value, dict):
            lines += [f"[{key}]", *(f"{name} = {_toml_value(item)}" for name, item in value.items())]
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml_value(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def make(seed: int) -> Project:
    """The project of this seed, with one change."""
    maker = Maker(random.Random(seed))
    maker.sources()
    maker.values()
    files = (
        ["dvc.yaml"] + (["sub/dvc.yaml"] if maker.chance(0.3) else []) + (["a/b/dvc.yaml"] if maker.chance(0.1) else [])
    )
    for _ in range(maker.rng.randint(2, 5)):
        maker.stage(maker.rng.choice([*files, "dvc.yaml"]))
    for file, definition in maker.definitions.items():
        maker.files[file] = maker.written(definition, file)
    changed = shlex.quote(maker.rng.choice([output.path for output in maker.there if output.path in maker.files]))
    head = [f"Random project {seed}.", f"change: a source | echo changed >> {changed}"]
    if maker.restless:
        head.append("restless: yes")
    parts = [
        f"-- {path}{'' if text.endswith(chr(10)) else ' (open)'} --\n{text.removesuffix(chr(10))}"
        for path, text in maker.files.items()
    ]
    return parse(f"seed-{seed}", "\n".join([*head, *parts]) + "\n")


if __name__ == "__main__":
    sys.stdout.write(make(int(sys.argv[1])).source)
