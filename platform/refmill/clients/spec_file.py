"""refmill.yaml of a project: its documents, with the place of every fault, held against the stages there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from refmill import errors
from refmill.clients.findings import Findings
from refmill.formats import yamlfile
from refmill.model.pipelines import Stage
from refmill.model.placement import Allowed
from refmill.problems import Place
from refmill.specs import Documents, StageOverride, existing
from refmill.specs.overrides import names, override
from refmill.texts import text

FILE = "refmill.yaml"
REQUIREMENTS = "requirements.txt"
"""The file that is taken when refmill.yaml names none."""


def read(
    findings: Findings, stages: Sequence[Stage], *, declared: AbstractSet[str], containers: bool,
    allowed: Allowed | None = None,
) -> Documents | None:  # fmt: skip
    """The documents, or None without such a file. `stages` are those that could be read; `declared` are the names
    (without “@key”) that dvc.yaml has, so that a faulty stage is not called unknown as well."""
    entry = findings.tree.entry(FILE)
    data = findings.read(FILE) if entry is not None else None
    if data is None:
        return None
    from refmill.specs.reading import parse  # noqa: PLC0415 - pydantic starts slowly, and most working copies have no such file

    try:
        values = yamlfile.load_all(data, FILE)
    except errors.Invalid as error:
        findings.take(error.problems)
        return None
    documents, faults = parse(values)
    for fault in faults:
        place = findings.place(FILE, fault.path, key=fault.key, document=fault.document)
        findings.add(fault.kind, place, fault.message, fault.remedy, warning=fault.warning)
    number = next(
        (n for n, value in enumerate(values) if isinstance(value, dict) and value.get("kind") == "Pipeline"), 0
    )
    checker = _Checker(findings, documents, number)
    checker.stages(stages, declared, containers=containers)
    checker.files()
    if allowed is not None:
        checker.placement(allowed, containers=containers)
    checker.unsupported()
    return documents


class _Checker:
    def __init__(self, findings: Findings, documents: Documents, document: int) -> None:
        self._findings = findings
        self._documents = documents
        self._spec = documents.pipeline
        self._document = document

    def _place(self, *path: str | int, key: bool = False) -> Place:
        return self._findings.place(FILE, ("spec", *path), key=key, document=self._document)

    def stages(self, stages: Sequence[Stage], declared: AbstractSet[str], *, containers: bool) -> None:
        """Names that mean no stage; images where nothing runs them."""
        meant = {key for stage in stages for key in names(stage)}
        shown = sorted(name for name in meant if not name.startswith("dvc.yaml:"))
        for key in self._spec.stages:
            group = key.partition("@")[0]
            if key not in meant and not (group in declared and group not in meant):
                self._findings.add(
                    "unknown-stage",
                    self._place("stages", key, key=True),
                    text("There is no stage “%(name)s” in dvc.yaml", name=key[:80]),
                    existing(key[:80], shown, text("There are no stages at all.")),
                )
        if containers:
            return
        default = self._findings.tree.entry(REQUIREMENTS) is not None
        for stage in stages:
            said = override(self._documents, stage)
            if said.image:
                self._image(
                    stage, said.image, supplied=bool(said.requirements) or (said.requirements is None and default)
                )

    def _image(self, stage: Stage, image: str, *, supplied: bool) -> None:
        keys = [key for key in reversed(names(stage)) if (found := self._spec.stages.get(key)) and found.image]
        place = self._place("stages", keys[0], "image") if keys else self._place("image")
        if supplied:
            self._findings.add(
                "image-not-used",
                place,
                text("No engine here runs containers: “%(image)s” is not used", image=image[:200]),
                text("The stage runs in an environment made from its requirements file."),
                warning=True,
            )
        else:
            self._findings.add(
                "image-without-requirements",
                place,
                text(
                    "No engine here runs containers, and there are no requirements to use instead of “%(image)s”",
                    image=image[:200],
                ),
                text("Add a requirements.txt, or name a file with `requirements`."),
            )

    def files(self) -> None:
        """Requirements files that are named but not there."""
        for path, said in self._overrides():
            if said.requirements and self._kind(said.requirements) != "file":
                self._findings.add(
                    "missing-file",
                    self._place(*path, "requirements"),
                    text("There is no file “%(path)s”", path=said.requirements[:200]),
                    text("Commit the file, or name another one."),
                )

    def placement(self, allowed: Allowed, *, containers: bool) -> None:
        """What the operator does not let projects ask of the cluster; images that nothing can be run in."""
        for path, said in self._overrides():
            for key, value in said.node_selector.items():
                if not allowed.node(key, value):
                    self._refuse(f"{key}={value}", "argo_nodes", allowed.nodes, *path, "nodeSelector", key)
            for number, toleration in enumerate(said.tolerations or ()):
                if not allowed.taint(toleration):
                    self._refuse(str(toleration), "argo_taints", allowed.taints, *path, "tolerations", number)
            if said.priority_class and not allowed.priority_class(said.priority_class):
                known = allowed.priority_classes
                self._refuse(said.priority_class, "argo_priority_classes", known, *path, "priorityClass")
            if containers and said.image and not allowed.has_shell(said.image):
                self._findings.add(
                    "image-without-shell",
                    self._place(*path, "image"),
                    text("“%(image)s” has no /bin/sh: no command can run in it", image=said.image[:200]),
                    text("Take an image with a shell; one with Python 3.8 or newer is best."),
                )

    def _refuse(self, what: str, setting: str, known: Sequence[str], *path: str | int) -> None:
        allowed = text("Allowed here: %(names)s.", names=", ".join(known))
        nothing = text("Take it away; the operator allows such things with the setting `%(name)s`.", name=setting)
        self._findings.add(
            "not-allowed",
            self._place(*path),
            text("The operator does not allow “%(what)s” for stages", what=what[:200]),
            allowed if known else nothing,
        )

    def unsupported(self) -> None:
        """What the format has and nothing carries out yet: told by name, never passed over."""
        if self._spec.on.schedule:
            self._not_yet("schedule", self._place("on", "schedule", key=True))

    def _not_yet(self, name: str, place: Place) -> None:
        self._findings.add(
            "unsupported", place, text("`%(name)s` is not supported yet", name=name), text("Take it away for now.")
        )

    def _overrides(self) -> Iterable[tuple[tuple[str, ...], StageOverride]]:
        yield (), self._spec.defaults
        for key, said in self._spec.stages.items():
            yield ("stages", key), said

    def _kind(self, path: str) -> str:
        entry = self._findings.tree.entry(path)
        return entry.kind if entry else ""
