"""refmill.yaml of a project: its documents, with the place of every fault, held against the stages there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from refmill import errors
from refmill.clients.findings import Findings
from refmill.formats import yamlfile
from refmill.model.pipelines import Stage
from refmill.problems import Place
from refmill.specs import Documents, StageOverride, existing, parse
from refmill.specs.overrides import names, override
from refmill.texts import text

FILE = "refmill.yaml"
REQUIREMENTS = "requirements.txt"
"""The file that is taken when refmill.yaml names none."""


def read(
    findings: Findings, stages: Sequence[Stage], *, declared: AbstractSet[str], containers: bool
) -> Documents | None:
    """The documents, or None without such a file. `stages` are those that could be read; `declared` are the names
    (without “@key”) that dvc.yaml has, so that a faulty stage is not called unknown as well."""
    entry = findings.tree.entry(FILE)
    data = findings.read(FILE) if entry is not None else None
    if data is None:
        return None
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
    checker.unsupported()
    return documents


class _Checker:
    def __init__(self, findings: Findings, documents: Documents, document: int) -> None:
        self._findings = findings
        self._documents = documents
        self._spec = documents.pipeline
        self._document = document

    def _place(self, *path: str, key: bool = False) -> Place:
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
