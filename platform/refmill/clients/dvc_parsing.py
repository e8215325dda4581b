"""Reads a whole DVC project from a tree of files: dvc.yaml, dvc.lock, *.dvc, parameters and refmill.yaml.

This is the place that decides whether a push is refused: `check` gives the pipeline and every problem at once.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from refmill import errors
from refmill.clients import dvc_graph, dvc_inputs, dvc_schema, spec_file
from refmill.clients.dvc_datasets import Datasets
from refmill.clients.dvc_paths import BadPath, rooted
from refmill.clients.dvc_sites import Sites
from refmill.clients.dvc_stages import StageReader
from refmill.clients.dvc_templates import Template, Tops
from refmill.clients.dvc_trees import Project
from refmill.clients.findings import Findings
from refmill.formats import dvcfile, dvcignore, lockfile, yamlfile
from refmill.model.pipelines import DataFile, DataOutput, LockEntry, Pipeline, Stage
from refmill.model.placement import Allowed
from refmill.ports.resolver import Checked
from refmill.ports.trees import Tree
from refmill.problems import Place, Problem
from refmill.specs import Documents
from refmill.texts import text

PROJECT_FILE, LOCK_FILE, SUFFIX = "dvc.yaml", "dvc.lock", ".dvc"
MAX_DEPTH = 64
_SKIPPED = {".git", ".hg", ".dvc"}


@dataclass(slots=True)
class _Reading:
    """What has been read so far. `nodes` stand in the order of DVC's walk."""

    findings: Findings
    sites: Sites
    project: Project
    max_stages: int
    hidden: dvcignore.Ignores
    datasets: Datasets
    nodes: dict[str, Stage | DataFile] = field(default_factory=dict)
    outputs: set[str] = field(default_factory=set)
    metrics: list[str] = field(default_factory=list)
    plots: list[Any] = field(default_factory=list)
    params: list[str] = field(default_factory=list)
    artifacts: dict[str, Any] = field(default_factory=dict)
    lock: dict[str, LockEntry] = field(default_factory=dict)
    declared: set[str] = field(default_factory=set)
    counted: int = 0


def check(
    tree: Tree, *, max_stages: int, containers: bool = False, ignored: Callable[[str], bool] | None = None,
    allowed: Allowed | None = None,
) -> Checked:  # fmt: skip
    """Everything the project below `tree` says, and every problem in it; nothing in the files makes this raise.

    `containers`: whether some engine runs images. `ignored` tells for a path (a directory's ends in "/") that it is
    not to be looked at; what git and DVC themselves keep is never looked at. `allowed` is what the operator lets
    projects ask of a cluster, None where nobody knows. Memory and time are the caller's to limit.
    """
    findings = Findings(tree)
    reading = _Reading(findings, Sites(findings), Project(tree), max_stages, _hidden(findings), Datasets(findings))
    findings.take(reading.project.load_config())
    for path in _definitions(reading, ignored or (lambda _: False)):
        if path.endswith(SUFFIX):
            _read_data(path, reading)
        else:
            _read_project(path, reading)
    pipeline = _pipeline(reading)
    stages = [node for node in reading.nodes.values() if isinstance(node, Stage)]
    documents = spec_file.read(findings, stages, declared=reading.declared, containers=containers, allowed=allowed)
    return Checked(pipeline, documents or Documents(), _telling(findings.problems()))


def _telling(problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """Without warnings of missing files where something could not be understood: that may be what makes them, and to
    commit them, as the remedy says, would then be wrong."""
    unclear = any(not problem.warning for problem in problems)
    return tuple(problem for problem in problems if not (unclear and problem.kind == "missing-dependency"))


def _hidden(findings: Findings) -> dvcignore.Ignores:
    """What the .dvcignore files hide; one that DVC cannot work with is told, and hides nothing."""
    ignores = dvcignore.DvcIgnore(dvcignore.reader(findings.tree.read))

    def hidden(path: str, /, *, is_directory: bool = False) -> bool:
        try:
            return ignores(path, is_directory=is_directory)
        except errors.Invalid as error:
            findings.take(error.problems)
            return False

    return hidden


def _definitions(reading: _Reading, ignored: Callable[[str], bool]) -> Iterator[str]:
    """Paths of dvc.yaml and .dvc files in the order in which DVC collects them: a directory's files, then its
    directories, each by name; not below outputs, and not in projects of their own. The caller reads each before it
    asks for the next, because its outputs take part."""
    tree, findings, hidden = reading.findings.tree, reading.findings, reading.hidden
    folders = [""]
    while folders:
        folder = folders.pop()
        children = tree.children(folder)
        below: list[str] = []
        for name, entry in children.items():
            path = posixpath.join(folder, name)
            definition = name == PROJECT_FILE or (name.endswith(SUFFIX) and name != SUFFIX)
            if entry.kind == "directory":
                if name not in _SKIPPED and not ignored(path + "/") and not hidden(path, is_directory=True):
                    below.append(path)
            elif not (definition or name == dvcignore.FILE) or hidden(path):
                continue
            elif entry.kind != "file":
                findings.add(
                    "unsupported",
                    Place(path),
                    text("This is a link or a submodule: it is not followed"),
                    text("Commit the file itself."),
                )
            elif definition and not ignored(path):
                yield path
        nested = [path for path in below if _is_project(tree, path)]
        deep = path_depth(folder) >= MAX_DEPTH
        folders += [path for path in reversed(below) if path not in reading.outputs and path not in nested and not deep]


def path_depth(path: str) -> int:
    """How many directories `path` lies below the root."""
    return path.count("/") + 1 if path else 0


def _is_project(tree: Tree, folder: str) -> bool:
    entry = tree.entry(f"{folder}/.dvc")
    return entry is not None and entry.kind == "directory"


def _read_data(path: str, reading: _Reading) -> None:
    data = reading.findings.read(path)
    if data is None:
        return
    try:
        found = dvcfile.parse(data, path)
    except errors.Invalid as error:
        reading.findings.take(error.problems)
        return
    reading.nodes[found.address] = found
    reading.outputs |= {out.root for out in found.outs}


def _read_project(path: str, reading: _Reading) -> None:
    findings = reading.findings
    folder = posixpath.dirname(path)
    _read_lock(posixpath.join(folder, LOCK_FILE), path, reading)
    data = findings.read(path)
    if data is None:
        return
    try:
        value = yamlfile.load(data, path)
    except errors.Invalid as error:
        findings.take(error.problems)
        return
    sound = dvc_schema.check(value, path, findings)
    stages = value.get("stages") if isinstance(value, dict) else None
    reading.declared |= {
        name for group in (stages if isinstance(stages, dict) else ()) for name in (str(group), f"{path}:{group}")
    }
    template = Template(reading.project, path, sound, findings)
    reading.counted += template.count(reading.max_stages - reading.counted)
    if reading.counted > reading.max_stages:
        findings.add(
            "too-many-stages",
            findings.place(path, ("stages",), key=True),
            text("The project has more than %(limit)s stages", limit=reading.max_stages),
            text("Make `foreach` and `matrix` smaller, or split the project."),
        )
        return
    reader = StageReader(path, reading.sites, findings)
    for resolved in template.stages():
        if stage := reader.read(resolved):
            reading.nodes[stage.address] = stage
            reading.outputs |= {out.root for out in stage.outs}
    tops = template.tops()
    reading.datasets.declare(path, tops.datasets)
    _read_tops(tops, reader, folder, path, reading)


def _read_tops(tops: Tops, reader: StageReader, folder: str, file: str, reading: _Reading) -> None:
    for key, values, into in (("metrics", tops.metrics, reading.metrics), ("params", tops.params, reading.params)):
        for number, value in enumerate(values):
            if root := _top_path(value, folder, (file, (key, number)), reading.findings):
                into.append(root)
    reading.plots += reader.plots
    for number, value in enumerate(tops.plots):
        if isinstance(value, str):
            if root := _top_path(value, folder, (file, ("plots", number)), reading.findings):
                reading.plots.append({"path": root})
        elif isinstance(value, dict):
            reading.plots += [{"id": str(name), "file": file, **(settings or {})} for name, settings in value.items()]
    for name, artifact in (tops.artifacts or {}).items():
        root = _top_path(artifact["path"], folder, (file, ("artifacts", name, "path")), reading.findings)
        if root:
            reading.artifacts[f"{folder}:{name}" if folder else name] = {**artifact, "path": root}


def _top_path(value: Any, folder: str, where: tuple[str, tuple[str | int, ...]], findings: Findings) -> str | None:
    try:
        return rooted(str(value), folder)
    except BadPath as bad:
        findings.add(bad.kind, findings.place(*where), bad.message, bad.remedy)
        return None


def _read_lock(path: str, project_file: str, reading: _Reading) -> None:
    entry = reading.findings.tree.entry(path)
    if entry is None or reading.hidden(path):
        return
    data = reading.findings.read(path, lockfile.MAX_BYTES)
    if data is None:
        return
    try:
        lock = lockfile.parse(data, path)
    except errors.Invalid as error:
        reading.findings.take(error.problems)
        return
    prefix = "" if project_file == PROJECT_FILE else f"{project_file}:"
    reading.datasets.lock(project_file, lock.datasets)
    reading.lock |= {prefix + name: entry for name, entry in lock.stages.items()}


def _tell_hidden_outputs(reading: _Reading) -> None:
    """Tell outputs that DVC would not see: it refuses the whole file that names them."""
    for node in reading.nodes.values():
        for out in node.outs:
            entry = reading.findings.tree.entry(out.root)
            tracked = isinstance(out, DataOutput) and out.md5.endswith(".dir")
            is_directory = entry.kind == "directory" if entry is not None else tracked
            if reading.hidden(out.root, is_directory=is_directory):
                reading.findings.add(
                    "ignored-output",
                    reading.sites.place(node, ("out", out.root)),
                    text("“%(path)s” is an output, but a pattern in .dvcignore hides it from DVC", path=out.path),
                    text("Take the pattern away, or write elsewhere; `dvc check-ignore --details` names the pattern."),
                )


def _pipeline(reading: _Reading) -> Pipeline | None:
    """The pipeline, if its graph can be made."""
    findings, nodes = reading.findings, reading.nodes
    for address, node in nodes.items():
        if isinstance(node, Stage) and node.datasets:
            nodes[address] = reading.datasets.versions(node, reading.sites)
    outputs, sound = dvc_graph.collect(nodes.values(), reading.sites, findings)
    for node in nodes.values():
        if above := outputs.above(node.file):
            sound = False
            findings.add(
                "definition-inside-output",
                Place(node.file),
                text("The file lies inside of the output “%(path)s”", path=above),
                text("Move it out: an output's directory is emptied before its stage runs."),
            )
    graph = dvc_graph.build(nodes, outputs, reading.sites, findings) if sound else None
    stages = {address: node for address, node in nodes.items() if isinstance(node, Stage)}
    _tell_hidden_outputs(reading)
    dvc_inputs.check(stages.values(), outputs, reading.project, reading.sites, findings, reading.hidden)
    if graph is None:
        return None
    outs = [out for stage in stages.values() for out in stage.outs]
    return Pipeline(
        stages=stages,
        data={address: node for address, node in nodes.items() if isinstance(node, DataFile)},
        order=graph.order,
        upstream=graph.upstream,
        metrics=tuple(dict.fromkeys([out.root for out in outs if out.kind == "metric"] + reading.metrics)),
        plots=tuple(reading.plots),
        params=tuple(dict.fromkeys([item.root for stage in stages.values() for item in stage.params] + reading.params)),
        artifacts=reading.artifacts,
        lock=reading.lock,
    )
