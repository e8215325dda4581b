"""From a resolved definition of dvc.yaml to a stage of the model, as dvc.stage.loader does; every fault is told."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from refmill.clients.dvc_paths import BadPath, is_dataset, is_definition, rooted
from refmill.clients.dvc_sites import Part, Path, Sites
from refmill.clients.dvc_templates import Resolved
from refmill.clients.findings import Findings
from refmill.model.pipelines import DatasetDependency, Dependency, Output, OutputKind, ParamsDependency, Stage
from refmill.texts import Text, text

DEFAULT_PARAMS = "params.yaml"
MAX_NAME = 250
MAX_COMMAND = 128 << 10
"""Linux takes no longer single argument (MAX_ARG_STRLEN), and the command is one of `sh -c`."""
_KINDS: tuple[tuple[str, OutputKind], ...] = (("outs", "out"), ("metrics", "metric"), ("plots", "plot"))


class StageReader:
    """Makes the stages of one dvc.yaml. After `read`, `plots` holds the settings of its stages' plots by path."""

    def __init__(self, file: str, sites: Sites, findings: Findings) -> None:
        self._sites = sites
        self._file = file
        self._findings = findings
        self._folder = posixpath.dirname(file)
        self._paths: dict[Part, Path] = {}
        self.plots: list[dict[str, Any]] = []

    def read(self, resolved: Resolved) -> Stage | None:
        """The stage, or None if it cannot be one."""
        definition, path = resolved.definition, resolved.path
        self._paths = {}
        name_ok = self._check_name(resolved)
        wdir = self._wdir(definition.get("wdir"), path)
        cmd = self._cmd(definition.get("cmd"), path)
        if wdir is None or cmd is None or not name_ok:
            return None
        deps = tuple(self._deps(definition.get("deps") or (), wdir, path))
        datasets = tuple(self._datasets(definition.get("deps") or (), path))
        params = tuple(self._params(definition.get("params") or (), wdir, path))
        outs = tuple(
            out for key, kind in _KINDS for out in self._outs(definition.get(key) or (), key, kind, wdir, path)
        )
        desc, meta = definition.get("desc"), definition.get("meta")
        stage = Stage(
            name=resolved.name,
            file=self._file,
            wdir=wdir,
            cmd=cmd,
            deps=deps,
            params=params,
            datasets=datasets,
            outs=outs,
            frozen=bool(definition.get("frozen")),
            always_changed=bool(definition.get("always_changed")),
            desc=desc if isinstance(desc, str) else "",
            meta=meta,
            place=self._findings.place(self._file, path[:2], key=True),
        )
        self._sites.note(stage, self._paths)
        return stage

    def _add(self, kind: str, path: Path, message: Text, remedy: Text, *, key: bool = False) -> None:
        self._findings.add(kind, self._findings.place(self._file, path, key=key), message, remedy)

    def _check_name(self, resolved: Resolved) -> bool:
        name = resolved.name
        group = str(resolved.path[1])
        if (
            len(name) <= MAX_NAME
            and name.isprintable()
            and name.strip() == name
            and ":" not in name
            and "@" not in group
        ):
            return True
        self._findings.add(
            "bad-name",
            self._findings.place(self._file, resolved.path[:2], key=True),
            text("“%(name)s” cannot be the name of a stage", name=name[:80]),
            text("Use letters, digits, “-” and “_”, at most %(limit)s characters.", limit=MAX_NAME),
        )
        return False

    def _wdir(self, value: Any, path: Path) -> str | None:
        if value is None or value == "":
            return self._folder
        return self._rooted(value, self._folder, (*path, "wdir"))

    def _cmd(self, value: Any, path: Path) -> str | tuple[str, ...] | None:
        commands = value if isinstance(value, list) else [value]
        if not commands or not all(isinstance(item, str) and item.strip() for item in commands):
            self._add(
                "bad-command",
                (*path, "cmd"),
                text("The command is empty, or no text"),
                text("Write what a shell is to run, as one text or as a list of texts."),
            )
            return None
        if any("\0" in item or len(item) > MAX_COMMAND for item in commands):
            self._add(
                "bad-command",
                (*path, "cmd"),
                text("The command is longer than %(limit)s characters, or holds a null byte", limit=MAX_COMMAND),
                text("Put it into a script of the repository."),
            )
            return None
        return tuple(value) if isinstance(value, list) else value

    def _rooted(self, value: Any, wdir: str, path: Path, *, key: bool = False) -> str | None:
        if not isinstance(value, str):
            self._add(
                "wrong-type",
                path,
                text("Here stands %(value)s, which is not a path", value=str(value)[:80]),
                text("Expected: %(expected)s.", expected=text("a path")),
            )
            return None
        try:
            return rooted(value, wdir)
        except BadPath as bad:
            self._add(bad.kind, path, bad.message, bad.remedy, key=key)
            return None

    def _deps(self, values: Iterable[Any], wdir: str, path: Path) -> Iterator[Dependency]:
        for number, value in enumerate(values):
            if is_dataset(value):
                continue
            where = (*path, "deps", number)
            root = self._rooted(value, wdir, where)
            if root == "":
                self._add(
                    "unsupported",
                    where,
                    text("A dependency on the whole project changes with every result"),
                    text("Name the files and directories that the stage reads."),
                )
            elif root is not None and is_definition(value):
                self._add(
                    "definition-as-data",
                    where,
                    text("“%(path)s” is one of DVC's own files", path=value),
                    text("Depend on the data that it describes."),
                )
            elif root is not None:
                self._paths["dep", root] = where
                yield Dependency(value, root)

    def _datasets(self, values: Iterable[Any], path: Path) -> Iterator[DatasetDependency]:
        for number, value in enumerate(values):
            if is_dataset(value):
                self._paths["dep", value] = (*path, "deps", number)
                yield DatasetDependency(value)

    def _params(self, values: Iterable[Any], wdir: str, path: Path) -> Iterator[ParamsDependency]:
        for file, (where, keys) in self._merged_params(list(values), (*path, "params")).items():
            root = self._rooted(file, wdir, where, key=True)
            if root is not None:
                self._paths["params", root] = where
                self._paths |= {("param", root, key): place for key, place in keys.items()}
                yield ParamsDependency(file, root, tuple(keys))

    def _merged_params(self, items: list[Any], path: Path) -> dict[str, tuple[Path, dict[str, Path]]]:
        """For each file where it is named first, and its keys with their places.

        As dvc.dependency._merge_params: a file named without keys is tracked whole, whatever else names its keys.
        """
        merged: dict[str, tuple[Path, dict[str, Path]]] = {}
        whole = {file for item in items if isinstance(item, dict) for file, keys in item.items() if not keys}
        for number, item in enumerate(items):
            if not isinstance(item, dict) and DEFAULT_PARAMS in whole:
                continue
            pairs: Mapping[Any, Any] = item if isinstance(item, dict) else {DEFAULT_PARAMS: [item]}
            for file, keys in pairs.items():
                place = (*path, number, str(file)) if isinstance(item, dict) else (*path, number)
                if file in whole:
                    merged.setdefault(str(file), (place, {}))
                    continue
                if not isinstance(file, str) or not _is_texts(keys):
                    self._add(
                        "wrong-type",
                        place,
                        text("“%(file)s” has no list of keys", file=str(file)[:80]),
                        text("Expected: %(expected)s.", expected=text("a file with a list of keys, as texts")),
                    )
                    continue
                known = merged.setdefault(file, (place, {}))[1]
                for index, key in enumerate(keys):
                    known.setdefault(key, (*place, index) if isinstance(item, dict) else place)
        return merged

    def _outs(self, values: Iterable[Any], key: str, kind: OutputKind, wdir: str, path: Path) -> Iterator[Output]:
        merged: dict[Any, dict[str, Any]] = {}
        places: dict[Any, int] = {}
        for number, item in enumerate(values):
            pairs = item.items() if isinstance(item, dict) else [(item, {})]
            for out, flags in pairs:
                settings = {
                    name: value
                    for flag in (flags if isinstance(flags, list) else [flags])
                    for name, value in flag.items()
                }
                merged.setdefault(out, {}).update(settings)
                places.setdefault(out, number)
        for out, flags in merged.items():
            where = (*path, key, places[out])
            root = self._rooted(out, wdir, where)
            if root is None:
                continue
            if root == "":
                self._add(
                    "bad-path",
                    where,
                    text("The whole project cannot be an output"),
                    text("Write into a directory below it."),
                )
            elif is_definition(root):
                self._add(
                    "definition-as-data",
                    where,
                    text("“%(path)s” is one of DVC's own files", path=out),
                    text("Give the output another name."),
                )
            else:
                self._paths["out", root] = where
                yield self._output(out, root, kind, flags)

    def _output(self, path: str, root: str, kind: OutputKind, flags: Mapping[str, Any]) -> Output:
        if kind == "plot":
            own = ("cache", "persist", "remote", "push", "checkpoint")
            self.plots.append({"path": root, **{name: value for name, value in flags.items() if name not in own}})
        return Output(
            path,
            root,
            kind,
            cache=bool(flags.get("cache", True)),
            persist=bool(flags.get("persist", False)),
            push=bool(flags.get("push", True)),
            remote=flags.get("remote"),
        )


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
