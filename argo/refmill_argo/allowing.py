"""What a repository's template may do otherwise than ours: an allow-list of differences.

The built-in template is filled in with the same values, and both results are compared, key by key. A difference is
refused unless a rule below takes it: so what nobody thought of is refused, whatever Kubernetes or Argo mean by it.

The rule to keep: a rule lets in what it knows entirely, and no text with `{{`, which Argo would fill in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from refmill.model.placement import CLUSTER, KEY, PLATFORM, VALUE, domain
from refmill.texts import Text, text
from refmill_argo import values
from refmill_argo.options import Options

Path: TypeAlias = tuple[str, ...]
MARKS = 32
"""Labels, or annotations, that one thing may have beside ours."""
ANNOTATION = 4096
"""Characters of one annotation's value."""
VOLUMES, SIDECARS = 8, 2
LONGEST = 100
"""Characters of a key that are shown of it."""
_KIND = ("spec", "templates", "[]")
_MAIN = (*_KIND, "container", "volumeMounts")
_MAIN_OF_SET = (*_KIND, "containerSet", "containers", "[]", "volumeMounts")

OURS = text("Leave it as the built-in template has it: extend that one, and fill in its blocks alone.")
AWAY = text("Take it away: a template may add labels, annotations, volumes and what the operator allows, no more.")

_EMPTY = text("Write {name: scratch, emptyDir: {sizeLimit: 1Gi}}: other volumes are not mounted.")
_OWN_KEY = text("Take a key of your own, like “example.org/team”.")
_SIDECAR = text(
    "It has `name`, `image`, `imagePullPolicy: [[ pull ]]`, `securityContext: [[ locked ]]`, `resources: [[ small ]]`,"
    " and may have `command`, `args`, `env` (plain texts) and `volumeMounts`."
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A difference that is not let in: where it is in the Workflow, what it is, and what to do."""

    path: Path
    message: Text
    remedy: Text


def refusals(ours: Any, theirs: Any, options: Options) -> Iterator[Refusal]:
    """What of the Workflow `theirs` may not be otherwise than in `ours`, which the built-in template made of the same
    values."""
    yield from _Comparison(options).compare((), ours, theirs)


def written(path: Path) -> str:
    """A place in a Workflow, as people write it."""
    short = [part if len(part) <= LONGEST else f"{part[:LONGEST]}…" for part in path]
    return "".join(part if part.startswith("[") else f".{part}" for part in short).lstrip(".") or "Workflow"


def pattern(path: Path) -> Path:
    """The same place in all items of a list."""
    return tuple("[]" if part.startswith("[") else part for part in path)


@dataclass(slots=True)
class _Comparison:
    options: Options
    volumes: set[tuple[Path, str]] = field(default_factory=set)
    """Those that were let in, each with its template; the rule of volumes fills it before those that use them ask."""

    def compare(self, path: Path, ours: Any, theirs: Any) -> Iterator[Refusal]:
        if _same(ours, theirs):  # of the thousands of tasks of a large run none is looked at
            return
        rule = self._rules().get(pattern(path))
        if rule is not None and self._may(path):
            yield from rule(path, ours, theirs)
        elif ours is _NOTHING:
            yield _added(path)
        elif theirs is _NOTHING:
            yield Refusal(path, text("`%(path)s` is missing: the platform relies upon it", path=written(path)), OURS)
        elif isinstance(ours, dict) and isinstance(theirs, dict):
            for key in sorted({*ours, *theirs}, key=_turn):
                yield from self.compare((*path, key), ours.get(key, _NOTHING), theirs.get(key, _NOTHING))
        elif isinstance(theirs, list) and (known := _named(ours)) is not None:
            yield from self._items(path, known, theirs)
        else:
            yield _changed(path)

    def _items(self, path: Path, ours: Mapping[str, Any], theirs: Sequence[Any]) -> Iterator[Refusal]:
        """Lists whose items have names; their order says nothing in a Workflow, but nobody needs another one."""
        found = _named(theirs)
        if found is None:
            yield _changed(path)
            return
        for name in (*ours, *(name for name in found if name not in ours)):
            yield from self.compare((*path, f"[{name}]"), ours.get(name, _NOTHING), found.get(name, _NOTHING))
        if [name for name in found if name in ours] != list(ours):
            yield _changed(path)

    def _rules(self) -> Mapping[Path, Callable[[Path, Any, Any], Iterator[Refusal]]]:
        return {
            ("metadata", "labels"): self._labels,
            ("metadata", "annotations"): self._annotations,
            ("spec", "podMetadata", "labels"): self._labels,
            ("spec", "podMetadata", "annotations"): self._annotations,
            ("spec", "parallelism"): self._parallelism,
            (*_KIND, "nodeSelector"): self._nodes,
            (*_KIND, "tolerations"): self._tolerations,
            (*_KIND, "priorityClassName"): self._priority_class,
            (*_KIND, "volumes"): self._volumes,
            (*_KIND, "sidecars"): self._sidecars,
            _MAIN: self._mounts,
            _MAIN_OF_SET: self._mounts,
        }

    def _may(self, path: Path) -> bool:
        """Of several containers only the middle one runs what the user wrote: the others have the token."""
        return pattern(path) != _MAIN_OF_SET or path[-2] == "[main]"

    def _labels(self, path: Path, ours: Any, theirs: Any) -> Iterator[Refusal]:
        yield from self._marks(path, ours, theirs, lambda value: VALUE.fullmatch(value) is not None)

    def _annotations(self, path: Path, ours: Any, theirs: Any) -> Iterator[Refusal]:
        yield from self._marks(path, ours, theirs, lambda value: len(value) <= ANNOTATION and values.plain(value))

    def _marks(self, path: Path, ours: Any, theirs: Any, right: Callable[[str], bool]) -> Iterator[Refusal]:
        """Labels or annotations: ours stay, others may come. Those of pods steer what other programs of the cluster do
        with them (roles at a cloud, services, meshes), so that only the operator lets them in."""
        known = {} if ours is _NOTHING else ours
        if not isinstance(theirs, dict):
            yield _changed(path)
            return
        for key in known:
            if key not in theirs or not _same(known[key], theirs[key]):
                yield _changed((*path, key))
        new = [key for key in theirs if key not in known]
        if len(new) > MARKS:
            yield Refusal(path, text("`%(path)s` has too many items", path=written(path)), _at_most(MARKS))
            return
        for key in new:
            value = theirs[key]
            if not (isinstance(value, str) and KEY.fullmatch(key) and right(value)):
                yield _value((*path, key), text("Write a text as Kubernetes takes it there, without “{{”, in quotes."))
            elif path[0] == "metadata":
                if domain(key, (*PLATFORM, *CLUSTER)):
                    yield Refusal(
                        (*path, key),
                        text("`%(key)s` is a key of the platform, of Argo or of Kubernetes", key=key),
                        _OWN_KEY,
                    )
            else:
                label = path[-1] == "labels"
                allowed = self.options.allowed
                if not (allowed.pod_label(key, value) if label else allowed.pod_annotation(key, value)):
                    yield _asks((*path, key), "argo_pod_labels" if label else "argo_pod_annotations")

    def _parallelism(self, path: Path, ours: Any, theirs: Any) -> Iterator[Refusal]:
        if theirs is _NOTHING and ours is not _NOTHING:
            yield _changed(path)
        elif theirs is not _NOTHING and not (
            values.whole(theirs) and theirs >= 1 and (ours is _NOTHING or theirs <= ours)
        ):
            yield _value(path, text("Write a whole number, not above that of the built-in template."))

    def _volumes(self, path: Path, ours: Any, theirs: Any) -> Iterator[Refusal]:
        """Empty folders may come, with an end to what they take of a node's disk."""
        known, found = _named(ours) or {}, _named(theirs)
        if found is None:
            yield _changed(path)
            return
        for name in known:
            if not _same(known[name], found.get(name, _NOTHING)):
                yield _changed((*path, f"[{name}]"))
        new = [name for name in found if name not in known]
        if len(new) > VOLUMES:
            yield Refusal(path, text("`%(path)s` has too many items", path=written(path)), _at_most(VOLUMES))
            return
        room = self.options.disk
        for name in new:
            here, size = (*path, f"[{name}]"), values.empty_folder(found[name])
            if size is None or not values.free(name):
                yield Refusal(here, text("the volume `%(name)s` is no empty folder with an end", name=name), _EMPTY)
                continue
            self.volumes.add((path[:-1], name))
            room -= size
        if room < 0:
            remedy = text(
                "Make them smaller: together they may have %(bytes)s bytes (`stage_disk`).", bytes=self.options.disk
            )
            yield Refusal(path, text("the volumes of a template take more than a stage may write"), remedy)

    def _mounts(self, path: Path, ours: Any, theirs: Any) -> Iterator[Refusal]:
        if not isinstance(ours, list) or not isinstance(theirs, list) or any(_lacks(theirs, mine) for mine in ours):
            yield _changed(path)
            return
        new = [item for item in theirs if _lacks(ours, item)]
        if len(new) + len(ours) != len(theirs):
            yield _changed(path)
        yield from self._new_mounts(path, new)

    def _new_mounts(self, path: Path, mounts: Sequence[Any]) -> Iterator[Refusal]:
        if len(mounts) > VOLUMES:
            yield Refusal(path, text("`%(path)s` has too many items", path=written(path)), _at_most(VOLUMES))
            return
        places = [item.get("mountPath") if isinstance(item, dict) else None for item in mounts]
        for number, item in enumerate(mounts):
            name = item.get("name") if isinstance(item, dict) else None
            right = (
                isinstance(name, str) and (path[: len(_KIND)], name) in self.volumes
                and item.keys() <= {"name", "mountPath", "readOnly"}
                and isinstance(item.get("readOnly", False), bool)
                and values.may_mount(places[number]) and places.count(places[number]) == 1
            )  # fmt: skip
            if not right:
                yield Refusal(
                    (*path, f"[{number}]"), text("this mount in `%(path)s` is not right", path=written(path)),
                    text("Mount a volume of the template, at a place of its own outside of %(folders)s.",
                         folders=", ".join(values.CLOSED)),
                )  # fmt: skip

    def _nodes(self, path: Path, ours: Any, theirs: Any) -> Iterator[Refusal]:
        if theirs is _NOTHING:
            return
        if not isinstance(theirs, dict):
            yield _changed(path)
            return
        for key, value in theirs.items():
            right = isinstance(value, str) and KEY.fullmatch(key) and VALUE.fullmatch(value)
            if not right or not self.options.allowed.node(key, value):
                yield _asks((*path, key), "argo_nodes")

    def _tolerations(self, path: Path, ours: Any, theirs: Any) -> Iterator[Refusal]:
        if theirs is _NOTHING:
            return
        items = theirs if isinstance(theirs, list) else [theirs]
        for number, item in enumerate(items):
            found = values.toleration(item)
            if found is None or not self.options.allowed.taint(found):
                yield _asks((*path, f"[{number}]"), "argo_taints")

    def _priority_class(self, path: Path, ours: Any, theirs: Any) -> Iterator[Refusal]:
        if theirs is _NOTHING:
            return
        if not (
            isinstance(theirs, str) and values.NAME.fullmatch(theirs) and self.options.allowed.priority_class(theirs)
        ):
            yield _asks(path, "argo_priority_classes")

    def _sidecars(self, path: Path, ours: Any, theirs: Any) -> Iterator[Refusal]:
        """Containers beside a stage, of images that the operator names, locked down as the stage's own."""
        found = _named(theirs)
        if found is None or len(found) > SIDECARS:
            yield Refusal(path, text("`%(path)s` has too many items", path=written(path)), _at_most(SIDECARS))
            return
        for name, item in found.items():
            here = (*path, f"[{name}]")
            if not values.image(item.get("image")) or not self.options.allowed.sidecar(item["image"]):
                yield _asks((*here, "image"), "argo_sidecars")
                continue
            if not values.free(name) or not self._right_sidecar(item):
                yield Refusal(here, text("the sidecar `%(name)s` is not closed in as a stage is", name=name), _SIDECAR)
                continue
            yield from self._new_mounts((*here, "volumeMounts"), item.get("volumeMounts", []))

    def _right_sidecar(self, item: Mapping[str, Any]) -> bool:
        needed = {"name", "image", "resources", "securityContext", "imagePullPolicy"}
        return (
            needed <= item.keys() <= needed | {"command", "args", "env", "volumeMounts"}
            and item["imagePullPolicy"] == self.options.pull
            and _same(item["securityContext"], LOCKED)
            and self._right_amounts(item["resources"])
            and all(values.texts(item.get(key, [])) for key in ("command", "args"))
            and values.variables(item.get("env", []))
            and isinstance(item.get("volumeMounts", []), list)
        )

    def _right_amounts(self, resources: Any) -> bool:
        """As much as a stage gets that asks for nothing, at most."""
        if not isinstance(resources, dict) or resources.keys() != {"requests", "limits"}:
            return False
        most = {"cpu": self.options.cpu, "memory": self.options.memory}
        for amounts in resources.values():
            if not isinstance(amounts, dict) or amounts.keys() != most.keys():
                return False
            for key, bound in most.items():
                amount = values.amount(amounts[key])
                if amount is None or not 0 < amount <= bound:
                    return False
        return True


LOCKED = {
    "allowPrivilegeEscalation": False, "privileged": False, "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}  # fmt: skip
"""The security context of every container, as the built-in template has it."""


class _Nothing:
    """Where a key is not there."""


_NOTHING: Any = _Nothing()


def _turn(key: str) -> tuple[bool, str]:
    """Volumes before those that mount them."""
    return key != "volumes", key


def _lacks(items: Sequence[Any], wanted: Any) -> bool:
    return not any(_same(item, wanted) for item in items)


def _named(items: Any) -> dict[str, Any] | None:
    """The items of a list by their names, unless one has none, or two have the same."""
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        return None
    found = {name: item for item in items if isinstance(name := item.get("name"), str)}
    return found if len(found) == len(items) else None


def _same(ours: Any, theirs: Any) -> bool:
    """Equal, and of the same types: to Python 1 and true are equal."""
    if ours is _NOTHING or theirs is _NOTHING:
        return ours is theirs
    return json.dumps(ours, sort_keys=True) == json.dumps(theirs, sort_keys=True)


def _added(path: Path) -> Refusal:
    return Refusal(path, text("a template may not add `%(path)s`", path=written(path)), AWAY)


def _changed(path: Path) -> Refusal:
    return Refusal(path, text("a template may not change `%(path)s`", path=written(path)), OURS)


def _value(path: Path, remedy: Text) -> Refusal:
    return Refusal(path, text("`%(path)s` has a value that it may not have", path=written(path)), remedy)


def _asks(path: Path, setting: str) -> Refusal:
    return Refusal(
        path, text("the operator does not let templates have `%(path)s`", path=written(path)),
        text("Take it away; the operator allows such things with the setting `%(name)s`.", name=setting),
    )  # fmt: skip


def _at_most(most: int) -> Text:
    return text("There may be at most %(most)s.", most=most)
