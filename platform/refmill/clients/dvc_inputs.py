"""Whether what the stages read can be there: parameters with their keys, files, links; and what they may not write."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from refmill import errors
from refmill.clients.dvc_graph import Outputs
from refmill.clients.dvc_sites import Part, Sites
from refmill.clients.dvc_trees import Project
from refmill.clients.findings import Findings
from refmill.formats import directories, dvcignore, params
from refmill.model.pipelines import Output, ParamsDependency, Stage
from refmill.specs import existing
from refmill.texts import text

MAX_FILES = 200_000
"""Files of one directory that are looked through for links."""
MAX_NAMES = 2000
"""Keys of a parameter file among which a similar one is looked for."""


class _Checker:
    def __init__(
        self, outputs: Outputs, project: Project, sites: Sites, findings: Findings, hidden: dvcignore.Ignores
    ) -> None:
        self._hidden = hidden
        self._sites = sites
        self._outputs = outputs
        self._project = project
        self._findings = findings
        self._values: dict[str, Any] = {}
        self._there: dict[str, str] = {}
        self._inside: dict[str, tuple[str, str] | None] = {}

    def stage(self, stage: Stage) -> None:
        for out in stage.outs:
            self._out(stage, out)
        if stage.frozen:
            return
        for dep in stage.deps:
            self._dep(stage, dep.path, dep.root)
        for item in stage.params:
            self._params(stage, item)

    def _kind(self, root: str) -> str:
        """What git has at `root`: file, directory, link, submodule, or "" for nothing."""
        if root not in self._there:
            parts = root.split("/")
            self._there[root] = ""
            for depth in range(1, len(parts) + 1):
                entry = self._findings.tree.entry("/".join(parts[:depth]))
                if entry is None:
                    break
                if depth == len(parts) or entry.kind in ("link", "submodule"):
                    self._there[root] = entry.kind
                    break
        return self._there[root]

    def _dep(self, stage: Stage, path: str, root: str) -> None:
        kind = self._kind(root)
        written = self._outputs.overlapping(root)
        place = ("dep", root)
        if kind in ("link", "submodule") and not written:
            self._not_followed(stage, place, path, kind)
        elif kind == "directory" and (found := self._foreign(root)):
            self._not_followed(stage, place, *found)
        elif not kind and not written:
            self._findings.add(
                "missing-dependency",
                self._sites.place(stage, place),
                text("“%(path)s” is neither in git, nor tracked by DVC, nor written by a stage", path=path),
                text("Commit it, or track it with `dvc add %(path)s`.", path=root),
                warning=True,
            )

    def _not_followed(self, stage: Stage, part: Part, path: str, kind: str) -> None:
        if kind == "file":
            self._findings.add(
                "ignore-file-inside",
                self._sites.place(stage, part),
                text("“%(path)s” lies in a directory that the stage depends on: DVC refuses that", path=path),
                text("Move its patterns into a .dvcignore above the directory."),
            )
            return
        what = text("a symbolic link") if kind == "link" else text("a submodule")
        self._findings.add(
            "unsupported",
            self._sites.place(stage, part),
            text("“%(path)s” is %(what)s: this is not supported yet", path=path, what=what),
            text("Commit the files themselves."),
        )

    def _foreign(self, root: str) -> tuple[str, str] | None:
        """What DVC would follow or refuse below a directory, the first link, submodule or .dvcignore: path and kind."""
        if root not in self._inside:
            walk = islice(self._findings.tree.walk(root), MAX_FILES)
            odd = ((path, entry.kind) for path, entry in walk if entry.kind != "file" or _is_ignore_file(path))
            self._inside[root] = next(((path, kind) for path, kind in odd if self._counts(path)), None)
        return self._inside[root]

    def _counts(self, path: str) -> bool:
        return not directories.is_ignored(path) and not self._hidden(path)

    def _params(self, stage: Stage, item: ParamsDependency) -> None:
        if self._outputs.overlapping(item.root):
            return
        kind = self._kind(item.root)
        if kind != "file":
            message = text("There is no parameter file “%(path)s”", path=item.path)
            if kind:
                message = text("“%(path)s” is no regular file, so it holds no parameters", path=item.path)
            self._findings.add(
                "missing-params-file",
                self._sites.place(stage, ("params", item.root)),
                message,
                text("Commit the file, or name another one."),
            )
            return
        values = self._load(item.root)
        if values is None:
            return
        chosen = params.select(values, item.keys)
        try:
            params.recordable(chosen, item.root)
        except errors.Invalid as error:
            self._findings.take(error.problems)
        for key in item.keys:
            if key not in chosen:
                self._findings.add(
                    "missing-param",
                    self._sites.place(stage, ("param", item.root, key)),
                    text("There is no parameter “%(key)s” in %(file)s", key=key[:80], file=item.root),
                    existing(key[:80], islice(_names(values), MAX_NAMES), text("The file is empty.")),
                )

    def _load(self, root: str) -> Any:
        if root not in self._values:
            self._findings.read(root)
            try:
                self._values[root] = self._project.fs.load(root)
            except errors.Invalid as error:
                self._findings.take(error.problems)
                self._values[root] = None
            except (errors.LimitExceeded, errors.NotFound):
                self._values[root] = None
        return self._values[root]

    def _out(self, stage: Stage, out: Output) -> None:
        if not out.cache:
            return
        entry = self._findings.tree.entry(out.root)
        if entry is not None and entry.oid:
            self._findings.add(
                "tracked-output",
                self._sites.place(stage, ("out", out.root)),
                text("“%(path)s” is an output that DVC keeps, but git has it too", path=out.path),
                text("Take it out of git with `git rm -r --cached %(path)s`, or set `cache: false`.", path=out.root),
                warning=True,
            )


def check(
    stages: Iterable[Stage], outputs: Outputs, project: Project, sites: Sites, findings: Findings,
    hidden: dvcignore.Ignores,
) -> None:  # fmt: skip
    """Tell what the stages read that is not there, and what they write that git has."""
    checker = _Checker(outputs, project, sites, findings, hidden)
    for stage in stages:
        checker.stage(stage)


def _is_ignore_file(path: str) -> bool:
    return path.rpartition("/")[2] == dvcignore.FILE


def _names(values: Any, prefix: str = "") -> Iterable[str]:
    if isinstance(values, dict):
        for key, value in values.items():
            yield f"{prefix}{key}"
            yield from _names(value, f"{prefix}{key}.")
