"""Whether what the stages read can be there: parameters with their keys, files, links; and what they may not write."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from refmill import errors
from refmill.clients.dvc_contents import Contents
from refmill.clients.dvc_graph import Outputs
from refmill.clients.dvc_sites import Sites
from refmill.clients.dvc_trees import Project
from refmill.clients.findings import Findings
from refmill.formats import dvcignore, params
from refmill.model.pipelines import Output, ParamsDependency, Stage
from refmill.specs import closest, existing
from refmill.texts import Text, text

MAX_NAMES = 2000
"""Keys of a parameter file, outputs, and files of a directory among which a similar one is looked for."""
GUESSES = 20
"""Missing files for which a similar one is looked for: it takes a while, and nobody misspells hundreds."""
LIKENESS = 0.75
"""Of paths; below it, “raw.csv” would be taken for “clean.csv”."""


class _Checker:
    def __init__(
        self, outputs: Outputs, project: Project, sites: Sites, findings: Findings, hidden: dvcignore.Ignores
    ) -> None:
        self._sites = sites
        self._outputs = outputs
        self._project = project
        self._findings = findings
        self._values: dict[str, Any] = {}
        self._contents = Contents(findings.tree, outputs, hidden)
        self._guesses = 0

    def stage(self, stage: Stage) -> None:
        for out in stage.outs:
            self._out(stage, out)
        if stage.frozen:
            return
        for dep in stage.deps:
            self._dep(stage, dep.path, dep.root)
        for item in stage.params:
            self._params(stage, item)

    def _dep(self, stage: Stage, path: str, root: str) -> None:
        kind, fault = self._contents.look(root)
        place = ("dep", root)
        if fault is not None:
            self._findings.add(fault.kind, self._sites.place(stage, place), fault.message, fault.remedy)
        elif not kind:
            self._findings.add(
                "missing-dependency",
                self._sites.place(stage, place),
                text("“%(path)s” is neither in git, nor tracked by DVC, nor written by a stage", path=path),
                self._missing(stage, root),
                warning=True,
            )

    def _missing(self, stage: Stage, root: str) -> Text:
        """What to do about a file that nothing provides: it may be misspelt, or forgotten."""
        self._guesses += 1
        if self._guesses <= GUESSES and (meant := self._meant(stage, root)):
            return text(
                "Did you mean “%(name)s”? If not, bring it: `git add %(path)s`, or `dvc add %(path)s` for data.",
                name=meant, path=root,
            )  # fmt: skip
        return text(
            "Look whether the name is right. If it is, bring the file: `git add %(path)s`, or `dvc add %(path)s` for"
            " data.",
            path=root,
        )

    def _meant(self, stage: Stage, root: str) -> str | None:
        """What looks like `root` among the outputs of others, and what git has; not what the stage names already."""
        named = {item.root for item in stage.deps} | {out.root for out in stage.outs}
        outputs = [path for path in islice(self._outputs.roots(), MAX_NAMES) if path not in named]
        in_git = [path for path in (self._in_git(root),) if path and path not in named]
        name = root.rpartition("/")[2]
        elsewhere = (path for path in outputs if path.rpartition("/")[2] == name)
        return closest(root, [*in_git, *outputs], likeness=LIKENESS) or next(elsewhere, None)

    def _in_git(self, root: str) -> str | None:
        """The path in git whose names are those of `root`, or similar to them."""
        found = ""
        for name in root.split("/"):
            there = self._findings.tree.children(found)
            real = name if name in there else closest(name, list(islice(there, MAX_NAMES)), likeness=LIKENESS)
            if real is None:
                return None
            found = f"{found}/{real}" if found else real
        return found

    def _params(self, stage: Stage, item: ParamsDependency) -> None:
        if self._outputs.overlapping(item.root):
            return
        kind, fault = self._contents.look(item.root)
        place = self._sites.place(stage, ("params", item.root))
        if fault is not None:
            self._findings.add(fault.kind, place, fault.message, fault.remedy)
            return
        if kind == "output":  # a link to data that DVC tracks
            return
        if kind != "file":
            message = text("There is no parameter file “%(path)s”", path=item.path)
            if kind:
                message = text("“%(path)s” is no regular file, so it holds no parameters", path=item.path)
            self._findings.add(
                "missing-params-file",
                place,
                message,
                text("Commit the file, or name another one."),
            )
            return
        values = self._load(self._contents.real(item.root))
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
                    existing(key[:80], islice(params.names(values), MAX_NAMES), text("The file is empty.")),
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
        if self._contents.behind_link(out.root):
            self._findings.add(
                "unsupported",
                self._sites.place(stage, ("out", out.root)),
                text("“%(path)s” is an output behind a symbolic link: this is not supported yet", path=out.path),
                text("Write where the link leads to."),
            )
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
