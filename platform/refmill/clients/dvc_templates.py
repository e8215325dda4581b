"""Resolves `vars`, `${…}`, `foreach` and `matrix` of one dvc.yaml with DVC's own resolver, and says all that fails.

The rule to keep: DVC stops at its first fault, so a fault sends us over the whole definition once more, to tell them
all; and nothing is expanded before it is known how many stages it makes.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

from dvc.exceptions import DvcException
from dvc.parsing import DataResolver, EntryDefinition, ForeachDefinition, MatrixDefinition, ResolveError
from dvc.parsing.context import Context, ContextError, CtxDict, CtxList, KeyNotInContext, MergeError, ParamsLoadError
from dvc.parsing.interpolate import ParseError, get_matches, parse_expr

from refmill import errors
from refmill.clients.dvc_trees import Project
from refmill.clients.findings import Findings
from refmill.problems import Place
from refmill.specs import existing
from refmill.texts import Text, text

Path: TypeAlias = tuple[str | int, ...]
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_SIMPLE = re.compile(r"\w+(?:\.\w+|\[\w+\])*")
_LOOP_NAMES = ("item", "key")
_NAMES_SHOWN = 2000


@dataclass(frozen=True, slots=True)
class Resolved:
    """A stage after templating: its name, its definition, and where its definition stands in dvc.yaml."""

    name: str
    definition: Mapping[str, Any]
    path: Path


@dataclass(frozen=True, slots=True)
class Tops:
    """The top-level lists of dvc.yaml after templating."""

    metrics: tuple[str, ...] = ()
    plots: tuple[Any, ...] = ()
    params: tuple[str, ...] = ()
    artifacts: Mapping[str, Any] | None = None
    datasets: tuple[Any, ...] = ()


class Template:
    """One dvc.yaml (`value` has the right shape) at `file`."""

    def __init__(self, project: Project, file: str, value: Mapping[str, Any], findings: Findings) -> None:
        self._file = file
        self._findings = findings
        self._project = project
        self._value = {key: item for key, item in value.items() if key != "vars"}
        self._variables = self._load_variables(value.get("vars", []))
        self._sound = self._variables is not None
        if self._variables is not None:
            self._value["vars"] = self._variables
        self._stages: Mapping[str, Any] = value.get("stages") or {}
        self._drop_bad_expressions()
        self._resolver = self._make_resolver()

    def count(self, limit: int) -> int:
        """How many stages there will be; faults in `foreach` and `matrix` are told, and their stages left out.
        Counting stops above `limit`."""
        total = 0
        if self._resolver is None:
            return 0
        for name, definition in list(self._resolver.definitions.items()):
            try:
                total += self._size(definition)
            except DvcException as error:
                self._tell(error, name, self._stage_path(name))
                del self._resolver.definitions[name]
            except _BadLoop as error:
                self._findings.add(
                    "bad-loop",
                    self._findings.place(self._file, ("stages", name, *error.path)),
                    error.text,
                    text("Give a list, a mapping, or a variable that is one."),
                )
                del self._resolver.definitions[name]
            if total > limit:
                break
        return total

    def stages(self) -> Iterator[Resolved]:
        """Every stage that can be resolved, in the order of dvc.yaml; what cannot is told."""
        if self._resolver is None:
            return
        for group, definition in list(self._resolver.definitions.items()):
            path = self._stage_path(group)
            plain = isinstance(definition, EntryDefinition)
            for name in [group] if plain else definition.get_generated_names():
                try:
                    # Expressions were parsed above; checking them again, as resolve_one does, is a quarter of all.
                    found = definition.resolve(skip_checks=True) if plain else self._resolver.resolve_one(name)
                    yield Resolved(name, found[name], path)
                except DvcException as error:
                    self._tell(error, group, path)
                except errors.Invalid as error:
                    self._findings.take(error.problems)
                except AssertionError:  # of DVC, which needs a name after the “@”
                    self._findings.add(
                        "bad-name",
                        self._findings.place(self._file, path, key=True),
                        text("An item of “%(group)s” is empty, so that its stage has no name", group=group),
                        text("Give each item of a loop a text, or a number."),
                    )
                except (TypeError, RecursionError) as error:
                    self._tell_other(error, path)

    def tops(self) -> Tops:
        """The top-level lists that can be resolved."""
        if self._resolver is None:
            return Tops()
        found: dict[str, Any] = {}
        for key in ("metrics", "plots", "params", "artifacts", "datasets"):
            try:
                found[key] = getattr(self._resolver, f"resolve_{key}")()
            except DvcException as error:
                self._tell(error, key, (key,))
        return Tops(
            tuple(found.get("metrics", ())),
            tuple(found.get("plots", ())),
            tuple(found.get("params", ())),
            found.get("artifacts"),
            tuple(found.get("datasets", ())),
        )

    def _load_variables(self, items: list[Any]) -> list[Any] | None:
        """`items` if params.yaml and all of them load, one after the other; else all that is wrong is told."""
        folder = posixpath.dirname(self._file)
        context = Context()
        steps: list[tuple[Path, list[Any], str | None]] = [((), [], "params.yaml")]
        steps += [(("vars", number), [item], None) for number, item in enumerate(items)]
        failed = False
        for path, item, default in steps:
            place = self._findings.place(self._file, path)
            try:
                if any(_interpolated(part) for part in item):
                    raise ContextError("interpolating is not allowed")
                # Empty ones before it, so that DVC counts them as in the file.
                context.load_from_vars(
                    self._project.fs, [{}] * (int(path[1]) if path else 0) + item, folder, default=default
                )
            except errors.Invalid as error:
                self._findings.take(error.problems)
                failed = True
            except (errors.LimitExceeded, errors.NotFound) as error:
                self._add_variables(place, str(error))
                failed = True
            except (DvcException, TypeError, RecursionError) as error:
                self._add_variables(self._source(error) or place, _plain(error))
                failed = True
        return None if failed else items

    def _source(self, error: BaseException) -> Place | None:
        """Where the value stands that DVC cannot take as a variable (a date, say): its error ends in 'file:key.key'."""
        found = re.search(r" in '([^':]+):([^']*)'$", str(error))
        if not isinstance(error, TypeError) or not found or not found[1].endswith((".yaml", ".yml")):
            return None
        self._findings.read(found[1])
        return self._findings.place(found[1], tuple(found[2].split(".")))

    def _add_variables(self, place: Place, detail: str) -> None:
        self._findings.add(
            "bad-vars",
            place,
            text("The variables cannot be loaded: %(detail)s", detail=detail),
            text("Name a file of the repository, keys that are in it, and each key once."),
        )

    def _drop_bad_expressions(self) -> None:
        """Tell every `${…}` that cannot be parsed, and leave its stage out."""
        for name, definition in list(self._stages.items()):
            bad = False
            for path, _, inner in _expressions(definition, ("stages", name)):
                if not _parses(inner):
                    bad = True
                    place = self._findings.within(self._findings.place(self._file, path), "${" + inner + "}")
                    self._findings.add(
                        "bad-expression",
                        place,
                        text("“${%(expression)s}” is not a variable", expression=inner[:80]),
                        text("Write ${name}, ${name.key} or ${list[0]}, or \\${ for the characters themselves."),
                    )
            if bad:
                self._value["stages"] = {key: item for key, item in self._value["stages"].items() if key != name}

    def _make_resolver(self) -> DataResolver | None:
        if not self._sound:
            return None
        try:
            return DataResolver(self._project, posixpath.dirname(self._file), self._value)
        except (DvcException, errors.Invalid, TypeError, RecursionError) as error:
            self._tell_other(error, ())
            return None

    def _size(self, definition: Any) -> int:
        if isinstance(definition, ForeachDefinition):
            try:
                return len(definition.resolved_iterable)
            except ResolveError as error:
                if isinstance(error.__context__, ContextError | ParseError):
                    raise
                raise _BadLoop(("foreach",), text("`foreach` needs a list or a mapping")) from error
        if isinstance(definition, MatrixDefinition):
            values = definition.resolved_iterable
            for name, items in values.items():
                if not isinstance(items, list | str | CtxList | CtxDict):
                    raise _BadLoop(("matrix", name), text("`matrix` needs a list for “%(name)s”", name=name))
            return math.prod(len(items) for items in values.values())
        return 1

    def _stage_path(self, name: str) -> Path:
        definition = self._stages.get(name)
        return ("stages", name, "do") if isinstance(definition, dict) and "do" in definition else ("stages", name)

    def _tell(self, error: DvcException, name: str, path: Path) -> None:
        """Every unknown variable of the definition in which DVC found one; else DVC's own words."""
        cause = _cause(error)
        if not isinstance(cause, KeyNotInContext):
            self._tell_other(error, path)
            return
        definition = self._stages.get(name) if path[0] == "stages" else self._value.get(name)
        start: Path = ("stages", name) if path[0] == "stages" else (name,)
        unknown = set(self._unknown(definition, cause.key))
        for where, _, inner in _expressions(definition, start):
            if inner in unknown:
                place = self._findings.within(self._findings.place(self._file, where), "${" + inner + "}")
                self._add_unknown(place, inner, looped=_looped(definition))
        if not unknown:
            place = self._findings.place(self._file, path, key=True)
            self._add_unknown(place, cause.key, looped=_looped(definition))

    def _unknown(self, definition: Any, key: str) -> Iterator[str]:
        """The expressions of `definition` that no variable answers; `key` is one for sure."""
        own = bool(
            isinstance(definition, dict) and (definition.get("vars") or (definition.get("do") or {}).get("vars"))
        )
        looped = _looped(definition)
        for _, _, inner in _expressions(definition, ()):
            name = re.split(r"[.\[]", inner, maxsplit=1)[0].strip()
            if inner == key:
                yield inner
            elif not own and not (looped and name in _LOOP_NAMES) and self._resolver is not None:
                try:
                    self._resolver.context.select(inner)
                except (ContextError, ValueError, TypeError):
                    yield inner

    def _add_unknown(self, place: Place, name: str, *, looped: bool) -> None:
        known = islice(_names(self._resolver.context.value), _NAMES_SHOWN) if self._resolver is not None else ()
        if looped and re.match(r"\s*(item|key)\b", name):
            remedy = text("Look at the values of `foreach` or `matrix`: not each of them has it.")
        else:
            remedy = existing(name[:80], known, text("Put it into params.yaml, or into `vars`."))
        self._findings.add(
            "unknown-variable",
            place,
            text("There is no variable “%(name)s”", name=name[:80]),
            remedy,
        )

    def _tell_other(self, error: BaseException, path: Path) -> None:
        if isinstance(error, errors.Invalid):
            self._findings.take(error.problems)
            return
        cause = _cause(error)
        kind = "bad-vars" if isinstance(cause, MergeError | ParamsLoadError) else "bad-template"
        self._findings.add(
            kind,
            self._findings.place(self._file, path, key=True),
            text("DVC cannot resolve this: %(detail)s", detail=_plain(cause)),
            text("Look at the variables that are used here."),
        )


class _BadLoop(Exception):
    def __init__(self, path: Path, message: Text) -> None:
        super().__init__(str(message))
        self.path = path
        self.text = message


def _cause(error: BaseException) -> BaseException:
    """DVC hides the cause of a resolve error outside of debugging, but Python keeps it as context."""
    seen = error
    while isinstance(seen, ResolveError) and seen.__context__ is not None:
        seen = seen.__context__
    return seen


def _plain(error: BaseException) -> str:
    return " ".join(_ANSI.sub("", str(error)).split())[:200]


def _looped(definition: Any) -> bool:
    return isinstance(definition, dict) and ("foreach" in definition or "matrix" in definition)


def _parses(expression: str) -> bool:
    if _SIMPLE.fullmatch(expression):
        return True
    try:
        parse_expr(expression)
    except ParseError:
        return False
    return True


def _interpolated(value: Any) -> bool:
    return any(True for _ in _expressions(value, ()))


def _expressions(value: Any, path: Path) -> Iterator[tuple[Path, str, str]]:
    """Every `${inner}` below `value`: the path of its text, the text, and `inner`."""
    stack: list[tuple[Path, Any]] = [(path, value)]
    while stack:
        where, item = stack.pop()
        if isinstance(item, str):
            yield from ((where, item, match["inner"]) for match in get_matches(item))
        elif isinstance(item, dict):
            stack += [((*where, key), part) for key, part in reversed(item.items())]
            stack += [(where, key) for key in item if isinstance(key, str)]
        elif isinstance(item, list):
            stack += [((*where, number), part) for number, part in reversed(list(enumerate(item)))]


def _names(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _names(value, f"{prefix}{key}.")
