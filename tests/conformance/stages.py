"""Random stages: what they read, how they are looped over, what they make, and their commands."""

from __future__ import annotations

import posixpath
import shlex
from dataclasses import dataclass, field
from typing import Any

from ground import PLAIN, SHOWN, WORDS, Ground, Output, form_of, prefix_of
from writing import Merge

_ITEMS = {None: "", "list": "-${item}", "mapping": "-${key}", "matrix": "-${item.a}-${item.b}"}


@dataclass(slots=True)
class Stages:
    """The definitions of a project's stages, by the dvc.yaml that has them. `restless`: one of them always runs; `read` is what
    they depend on."""

    ground: Ground
    definitions: dict[str, dict[str, Any]] = field(default_factory=dict)
    restless: bool = False
    shared: list[Any] = field(default_factory=list)
    read: set[str] = field(default_factory=set)
    measured: bool = False

    def variables(self, file: str) -> None:
        """The head of a dvc.yaml: its `vars`."""
        ground, folder = self.ground, posixpath.dirname(file)
        definition = self.definitions[file] = {}
        own: list[Any] = [{"own": {"er": ["x", {"y": ground.rng.choice(SHOWN)}], "flag": True}}]
        for other in ground.params:
            if posixpath.basename(other) != "params.yaml" and ground.chance(0.6):
                key = ":" + prefix_of(other) + "deep" if ground.chance(0.3) else ""
                own.append(posixpath.relpath(other, folder or ".") + key)
        ground.rng.shuffle(own)
        definition["vars"] = own
        definition["stages"] = {}

    def complete(self, file: str) -> dict[str, Any]:
        """The whole definition of a dvc.yaml, its parts in any order."""
        definition = self.definitions[file]
        parts = [part for part in definition.items() if part[1]]
        if file == "dvc.yaml" and self.ground.chance(0.2):
            parts.append(("params", self.ground.rng.sample(list(self.ground.params), 1)))
        if file == "dvc.yaml" and self.ground.chance(0.2):
            model = self.ground.rng.choice(self.ground.there)
            parts.append(("artifacts", {"best": {"path": model.path, "type": "model", "desc": "ü", "labels": ["a"]}}))
        self.ground.rng.shuffle(parts)
        return dict(parts)

    def expressions(self, file: str) -> list[str]:
        """Variables that can stand in a command of this dvc.yaml."""
        definition, folder = self.definitions[file], posixpath.dirname(file)
        known = ["${own.er[1].y}", "${ own.er[0] }", "${own.flag}"]
        named = [item.partition(":")[0] for item in definition["vars"] if isinstance(item, str)]
        for other in self.ground.params:
            prefix, relative = prefix_of(other), posixpath.relpath(other, folder or ".")
            if relative in (*named, "params.yaml"):
                known += [f"${{{prefix}deep.er.lr}}", f"${{ {prefix}deep.name }}", f"${{{prefix}deep.er}}"]
                if f"{relative}:{prefix}deep" not in definition["vars"]:
                    known.append(f"${{{prefix}list[0]}}")
        return known

    def add(self, file: str) -> None:
        """A stage, or several by a loop, in the dvc.yaml `file`."""
        ground, rng, folder = self.ground, self.ground.rng, posixpath.dirname(file)
        loop = rng.choice([None, None, None, "list", "mapping", "matrix"])
        body: dict[str, Any] = {}
        here = posixpath.join(folder, rng.choice(["wd", "wd/er", "w d"])) if ground.chance(0.2) else folder
        if here != folder:
            body["wdir"] = posixpath.relpath(here, folder or ".")
            if ground.chance(0.3):
                here, body["wdir"] = f"{here}/x", body["wdir"] + "/${own.er[0]}"
            ground.files.setdefault(posixpath.join(here, "keep"), "")
        commands = self._read(body, here)
        shown = self._settings(body, file, here)
        commands.append(f"echo {' '.join(shown) or 'plain'} {_ITEMS[loop] or 'once'} >> $T")
        commands += [self._out(body, here, _ITEMS[loop]) for _ in range(rng.randint(1, 2))]
        body["cmd"] = self._command(commands)
        self._flags(body)
        stages = self.definitions[file]["stages"]
        order = list(body)
        rng.shuffle(order)
        name = rng.choice([name for name in PLAIN if name not in stages])
        stages[name] = self._looped(loop, {key: body[key] for key in order}, file)

    def _read(self, body: dict[str, Any], here: str) -> list[str]:
        """Dependencies of a stage; gives the commands that write what is in them to the file $T."""
        ground, rng = self.ground, self.ground.rng
        deps, commands = [], ["T=$(mktemp)"]
        for found in rng.sample(ground.there, min(len(ground.there), rng.randint(0, 3))):
            self.read.add(found.path)
            part = rng.choice(found.inside) if found.inside and ground.chance(0.4) else ""
            path = posixpath.relpath(posixpath.join(found.path, part), here or ".")
            deps.append("./" + path if ground.chance(0.1) else path)
            quoted = shlex.quote("./" + path)
            whole = f"find {quoted} -type f ! -name .gitignore ! -path '*/left.out' ! -path '*/old/*' -exec cat {{}} + | sort"
            commands.append(f"{whole if found.inside and not part else f'cat {quoted}'} >> $T")
        if ground.chance(0.1):
            path = ground.new(["run.sh", "r un"], "scripts")
            ground.files[path], ground.marks[path] = "#!/bin/sh\necho by a script\n", "executable"
            relative = posixpath.relpath(path, here or ".")
            deps.append(relative)
            commands.append(f"{shlex.quote('./' + relative)} >> $T")
        if deps:
            body["deps"] = deps
        return commands

    def _settings(self, body: dict[str, Any], file: str, here: str) -> list[str]:
        """Parameters and variables of a stage; gives what its command shows of them."""
        ground, rng = self.ground, self.ground.rng
        shown = rng.sample(self.expressions(file), rng.randint(0, 2))
        if ground.chance(0.15):
            body["vars"] = [{"local": {"to": [rng.choice(SHOWN)]}}]
            shown.append("${local.to[0]}")
        if not ground.chance(0.5):
            return shown
        wanted: list[Any] = []
        for other in rng.sample(list(ground.params), rng.randint(1, len(ground.params))):
            values = ground.params[other]
            keys = rng.sample(list(values), rng.randint(1, min(3, len(values))))
            keys += [f"{prefix_of(other)}deep.er"] if ground.chance(0.3) and form_of(other) != "python" else []
            path = posixpath.relpath(other, here or ".")
            if path == "params.yaml" and ground.chance(0.8):
                wanted += keys
            else:
                wanted.append({path: None if ground.chance(0.2) else keys})
        body["params"] = wanted
        return shown

    def _command(self, commands: list[str]) -> Any:
        """The commands in one line, in several lines or as a list; each line is a shell's own, and the first does it."""
        rng = self.ground.rng
        commands = [*commands, "rm $T"]
        if rng.random() < 0.15:
            commands = [command.replace("$T", "\\${T}") if "${" not in command else command for command in commands]
        kind = rng.choice(["line", "line", "lines", "list", "one"])
        line = " && ".join(commands)
        if kind == "lines":
            return f"{line}\ntrue{rng.choice(['', chr(10)])}"
        return line if kind == "line" else [line, "true"] if kind == "list" else [line]

    def _flags(self, body: dict[str, Any]) -> None:
        ground = self.ground
        if ground.chance(0.1):
            body |= {"desc": "says what it does", "meta": {"any": [1, {"x": None}], "owner": "ü"}}
        if ground.chance(0.05):
            body["always_changed"] = self.restless = True
        if "deps" in body and ground.chance(0.25):
            self._share(body)

    def _share(self, body: dict[str, Any]) -> None:
        """Things that stand in several stages: an anchor, if the definition comes to be written with them."""
        if "meta" not in body and self.shared and self.ground.chance(0.5):
            body[Merge("<<")] = self.shared[0]
        elif "meta" not in body:
            self.shared[:1] = [{"meta": {"who": ["anybody", 1]}, "desc": "for several"}]
            body |= {"meta": self.shared[0]["meta"]}

    def _looped(self, loop: str | None, body: dict[str, Any], file: str) -> dict[str, Any]:
        """A stage's definition within its loop, the values of which may come from a variable."""
        rng = self.ground.rng
        several: Any = body
        if loop == "list":
            several = {"foreach": self._named(rng.sample([1, "u", 2.5, True, "w v", "no"], 2), file), "do": body}
        elif loop == "mapping":
            items = {key: {"v": rng.choice(SHOWN)} for key in rng.sample(PLAIN, 2)}
            several = {"foreach": self._named(items, file), "do": body}
        elif loop == "matrix":
            several = {"matrix": {"a": self._named(rng.sample([1, "u", True, 0.5], 2), file), "b": ["x"]}, **body}
        return several

    def _named(self, values: Any, file: str) -> Any:
        """Values of a loop, or a variable that has them."""
        if self.ground.chance(0.6):
            return values
        given = self.definitions[file]["vars"]
        name = f"loop{len(given)}"
        given.append({name: values})
        return f"${{{name}}}"

    def _out(self, body: dict[str, Any], here: str, item: str) -> str:
        """An output of a stage; gives the command that makes it of the file $T."""
        ground, rng = self.ground, self.ground.rng
        kind = rng.choice(["outs", "outs", "outs", "folder", "metrics", "plots"])
        ending = rng.choice({"metrics": ["", ".json", ".yaml"], "plots": [".csv", ".json"]}.get(kind, [""]))
        path = ground.new(WORDS, rng.choice([here, here, posixpath.join(here, "made")]))
        named = posixpath.relpath(path, here or ".") + item + ending
        target = shlex.quote("./" + named)
        body.setdefault("outs" if kind == "folder" else kind, []).append(self._flagged(named, kind))
        inside = (
            tuple(rng.sample(["f", "g h", "sub/ü", "sub/er/x", "B", "a-b", "-", "数"], 2)) if kind == "folder" else ()
        )
        if not item:
            ground.there.append(Output(path + ending, inside, made=True))
        if kind == "folder":
            return " && ".join(
                [f"mkdir -p {target}/sub/er", *(f"cp $T {target}/{shlex.quote(name)}" for name in inside)]
            )
        self.measured = self.measured or kind in ("metrics", "plots")
        if kind == "metrics":
            write = f'echo "{{\\"v\\": $(wc -l < $T), \\"deep\\": {{\\"er\\": 0.5}}}}" > {target}'
        elif kind == "plots" and ending == ".json":
            write = f'echo "[{{\\"x\\": 1, \\"y\\": $(wc -l < $T)}}]" > {target}'
        elif kind == "plots":
            write = f'printf "x,y\\n1,%s\\n" $(wc -l < $T) > {target}'
        else:
            write = f"cat $T > {target}"
        return f'mkdir -p "$(dirname {target})" && {write}'

    def _flagged(self, named: str, kind: str) -> Any:
        ground, flags = self.ground, {}
        if ground.chance(0.3):
            flags["cache"] = False
        if ground.chance(0.15):
            flags["persist"] = True
        if ground.chance(0.1):
            flags["desc"] = "an output"
        if ground.chance(0.1):
            flags |= {"type": "model", "labels": ["one", "two"], "meta": {"x": 1}} if kind in ("outs", "folder") else {}
        if kind == "plots" and ground.chance(0.5):
            flags |= {"x": "x", "y": "y", "title": "A title: ü"}
        return {named: flags} if flags else named
