"""How a stage differs from what dvc.lock says of it. Follows `dvc status`: what DVC does not look at, we do not either.

(Source of the rules: dvc.stage.Stage.changed_stage, changed_deps, changed_outs; dvc.dependency.param.workspace_status.)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from refmill.formats import datasets
from refmill.model.pipelines import LockEntry, Stage
from refmill.model.plans import Reason
from refmill.plans.inputs import Inputs
from refmill.texts import text

SHOWN = 60
"""Characters of a value or command that a reason shows: enough to recognise it, short enough for one line."""


def differences(stage: Stage, inputs: Inputs, locked: LockEntry | None) -> list[Reason]:
    """Why `stage` is not what `locked` records, the telling ones first; [] if it is."""
    if locked is None:
        return [Reason("new", text("it has not run before"))]
    reasons: list[Reason] = []
    command = list(stage.cmd) if isinstance(stage.cmd, tuple) else stage.cmd
    if locked.get("cmd") != command:
        old, new = _shown(locked.get("cmd")), _shown(command)
        reasons.append(
            Reason("command", text("its command changed: %(old)s → %(new)s", old=old, new=new), "cmd", old, new)
        )
    if not stage.frozen:  # which counts more than always_changed
        if stage.always_changed or not (stage.deps or stage.params or stage.datasets or stage.outs):
            reasons.append(Reason("always", text("it runs every time (always_changed, or nothing declared)")))
        reasons += _params(stage, inputs, locked)
        reasons += _deps(stage, inputs, locked)
        reasons += _datasets(stage, locked)
    known = {out["path"] for out in locked.get("outs", ())}
    for out in stage.outs:
        if out.path not in known:
            reasons.append(Reason("output", text("%(path)s is a new output", path=out.path), out.root))
    return reasons


def _deps(stage: Stage, inputs: Inputs, locked: LockEntry) -> Iterator[Reason]:
    recorded = {dep["path"]: dep for dep in locked.get("deps", ())}
    for dependency in stage.deps:
        if dependency.root in inputs.unknown:
            continue
        found = inputs.deps.get(dependency.root)
        item = recorded.get(dependency.path, {})
        old, new = item.get("md5"), found.md5 if found else None
        if old is None:
            yield Reason(
                "dependency", text("%(path)s is a new dependency", path=dependency.path), dependency.root, None, new
            )
        elif new is None:
            yield Reason("dependency", text("%(path)s is missing", path=dependency.path), dependency.root, old, None)
        elif found is not None and not found.recorded_by(item):
            message = text("%(path)s changed: %(old)s → %(new)s", path=dependency.path, old=old[:7], new=new[:7])
            yield Reason("dependency", message, dependency.root, old, new)


def _datasets(stage: Stage, locked: LockEntry) -> Iterator[Reason]:
    recorded = {dep["path"]: dep.get("dataset") for dep in locked.get("deps", ())}
    for item in stage.datasets:
        try:
            old = datasets.version(recorded.get(item.path) or {})
        except ValueError:
            yield Reason("dependency", text("%(path)s is a new dependency", path=item.path), item.path)
            continue
        if item.version is None or not datasets.same(old, item.version):
            yield Reason("dependency", text("the dataset %(path)s has another version", path=item.path), item.path)


def _params(stage: Stage, inputs: Inputs, locked: LockEntry) -> Iterator[Reason]:
    recorded: Mapping[str, Mapping[str, Any]] = locked.get("params", {})
    for item in stage.params:
        if item.root in inputs.unknown:
            continue
        old, new = recorded.get(item.path), inputs.params.get(item.root, {})
        if old is None and not new:
            yield Reason("parameter", text("%(file)s is a new parameter file", file=item.path), item.root)
            continue
        old = old or {}
        for key in item.keys or dict.fromkeys([*new, *old]):
            for leaf, was, now in _leaves(key, old.get(key, _NOTHING), new.get(key, _NOTHING)):
                before, after = _shown(was), _shown(now)
                message = text("%(file)s: %(key)s %(old)s → %(new)s", file=item.path, key=leaf, old=before, new=after)
                yield Reason("parameter", message, f"{item.root}:{leaf}", before, after)


_NOTHING = object()


def _leaves(key: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    """The single values in which two values differ, each by its dotted key; nothing where they are equal."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in dict.fromkeys([*new, *old]):
            yield from _leaves(f"{key}.{name}", old.get(name, _NOTHING), new.get(name, _NOTHING))
    elif old is _NOTHING or new is _NOTHING or old != new:
        yield key, old, new


def _shown(value: Any) -> str:
    """A value on one line, cut where it is long."""
    if value is _NOTHING:
        return "–"
    plain = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    plain = " ".join(plain.split())
    return plain if len(plain) <= SHOWN else plain[: SHOWN - 1] + "…"
