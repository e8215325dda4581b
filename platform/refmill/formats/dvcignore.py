"""`.dvcignore`: which files DVC does not see (dvc.ignore, on pathspec's reading of git's patterns).

DVC turns a pattern into a regular expression that need only match the beginning of a path; that, not git's own rule, is
what counts here. The rule to keep: patterns come from anybody, so matching is by a table and never by a regular
expression, whose backtracking a pattern like `*a*a*a*a*b` makes endless.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from refmill import errors
from refmill.errors import Invalid
from refmill.problems import Place, Problem
from refmill.texts import Text, text

FILE = ".dvcignore"
MAX_BYTES = 1 << 20
MAX_PATTERNS, MAX_PATTERN = 1000, 1024
"""Patterns that count for one directory, and characters of one: every file is held against each."""
Read = Callable[[str], bytes | None]
"""Gives the bytes of a file by its path from the root, None if there is none."""


class Ignores(Protocol):
    """Tells whether DVC does not see the file (or directory) `path`, seen from the project's root."""

    def __call__(self, path: str, /, *, is_directory: bool = False) -> bool: ...


def nothing(_path: str, /, *, is_directory: bool = False) -> bool:
    """There is no .dvcignore: `Ignores` that hides no file."""
    return is_directory and False


@dataclass(frozen=True, slots=True)
class _Set:
    """`[a-z]` as Python's regular expressions have it: with `negated` it holds "/" as well."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool

    def holds(self, char: str) -> bool:
        return any(low <= char <= high for low, high in self.ranges) != self.negated


_ONE, _STAR, _SEGMENT, _LEADING, _INNER, _NEVER = range(6)
"""`?`, `*`, a whole segment `*`, `**/` at the beginning (`(?:.+/)?`), `/**` within (`(?:/.+)?`), a dead end."""
_Token = str | int | _Set


@dataclass(frozen=True, slots=True)
class _Rule:
    """One pattern. It matches where `tokens` match a beginning of the path behind which a "/" stands, or, unless it is
    `open` only to that, the end; with `directories` it is asked for directories alone. `anywhere`: it is one segment
    that may stand at any depth."""

    tokens: tuple[_Token, ...]
    ignored: bool
    directories: bool
    slash: bool
    everything: bool = False
    anywhere: bool = False

    def matches(self, path: str, *, is_directory: bool) -> bool:
        """Whether the rule speaks of `path`."""
        if self.directories and not is_directory:
            return False
        if self.everything:
            return True
        if self.anywhere and not self.slash:
            return any(_whole(self.tokens[1:], part) for part in path.split("/"))
        return self._reaches(path) or (is_directory and self._reaches(path + "/"))

    def _reaches(self, path: str) -> bool:
        places = {0}
        for token in self.tokens:
            if not places:
                return False
            places = _step(token, path, places)
        return any(path[at : at + 1] == "/" or (at == len(path) and not self.slash) for at in places)


class DvcIgnore:
    """The .dvcignore files of one project, each read when it is first needed."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._rules: dict[str, tuple[_Rule, ...]] = {}
        self._inside: dict[str, bool] = {"": False}
        self._broken: dict[str, Invalid] = {}

    def __call__(self, path: str, /, *, is_directory: bool = False) -> bool:
        """See `Ignores`. Raises Invalid for a .dvcignore with which DVC cannot work."""
        if not path or path == ".":
            return False
        folder = path.rpartition("/")[0]
        return self._hides(folder) or _decided(self._of(folder), path, is_directory=is_directory)

    def speaks_of(self, folder: str) -> bool:
        """Whether any pattern holds in `folder`."""
        return bool(self._of(folder))

    def _hides(self, folder: str) -> bool:
        """Whether the rules that hold in `folder` hide it, or a directory above it."""
        if folder not in self._inside:
            above, rules = folder.rpartition("/")[0], self._of(folder)
            if rules is self._of(above):
                found = self._hides(above) or _decided(rules, folder, is_directory=True)
            else:  # a directory's own rules may, oddly written, hide the directory itself
                parts = folder.split("/")
                tops = ("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
                found = any(_decided(rules, top, is_directory=True) for top in tops)
            self._inside[folder] = found
        return self._inside[folder]

    def _of(self, folder: str) -> tuple[_Rule, ...]:
        """The rules that hold in `folder`: those of the directories above it, and its own, which come later."""
        if folder in self._broken:  # read once, too: whoever goes on asks for every path below
            raise self._broken[folder].with_traceback(None)
        try:
            return self._known(folder)
        except Invalid as error:
            self._broken[folder] = error
            raise

    def _known(self, folder: str) -> tuple[_Rule, ...]:
        if folder not in self._rules:
            above = folder.rpartition("/")[0]
            rules = self._of(above) if folder else ()
            file = f"{folder}/{FILE}" if folder else FILE
            hidden = bool(folder) and (self._hides(above) or _decided(rules, folder, is_directory=True))
            if not hidden and not _decided(rules, file, is_directory=False) and (data := self._read(file)) is not None:
                rules = (*rules, *parse(data, file))
            if len(rules) > MAX_PATTERNS:
                message = text("At most %(limit)s patterns may hold for one directory", limit=MAX_PATTERNS)
                raise Invalid([_problem(file, 0, message)])
            self._rules[folder] = rules
        return self._rules[folder]


def reader(read: Callable[[str, int], bytes]) -> Read:
    """`Read` over the `read` of a tree: what is not there, or is no file, gives None. Raises Invalid for a file that
    is too large."""

    def found(path: str) -> bytes | None:
        try:
            return read(path, MAX_BYTES)
        except errors.NotFound:
            return None
        except errors.LimitExceeded as error:
            raise Invalid([_problem(path, 0, error.message)]) from error

    return found


def parse(data: bytes, file: str) -> tuple[_Rule, ...]:
    """The rules of one .dvcignore, rebased to the project's root as DVC does it. Raises Invalid."""
    try:
        lines = data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Invalid([_problem(file, line, text("The file is not valid UTF-8"))]) from error
    folder = file.rpartition("/")[0]
    rules: list[_Rule] = []
    problems: list[Problem] = []
    for number, pattern in enumerate(map(str.strip, lines), 1):
        if not pattern or pattern.startswith("#"):
            continue
        try:
            rule = _rule(_rebased(pattern, folder) if folder else pattern)
        except ValueError as error:
            problems.append(_problem(file, number, text("DVC cannot read this pattern: %(detail)s", detail=str(error)),
                                     pattern))  # fmt: skip
            continue
        if rule is not None:
            rules.append(rule)
    if problems:
        raise Invalid(problems)
    return tuple(rules)


def _problem(file: str, line: int, message: Text, excerpt: str = "") -> Problem:
    remedy = text("Mend the file; `dvc check-ignore` tells what a pattern does.")
    return Problem("dvcignore", Place(file, line, 1 if line else 0), message, remedy, excerpt[:200])


def _decided(rules: tuple[_Rule, ...], path: str, *, is_directory: bool) -> bool:
    for rule in reversed(rules):
        if rule.matches(path, is_directory=is_directory):
            return rule.ignored
    return False


def _rebased(pattern: str, folder: str) -> str:
    """A pattern of the directory `folder` as one of the root (dvc.pathspec_math.change_rule)."""
    negated, pattern = pattern.startswith("!"), pattern.removeprefix("!")
    if "/" in pattern[:-1] and not pattern.startswith("**/"):
        pattern = "/" + pattern.removeprefix("/").removeprefix("\\")
    else:
        pattern = "/**/" + pattern.removeprefix("**/").removeprefix("\\")
    return f"!/{folder}{pattern}" if negated else folder + pattern


def _rule(pattern: str) -> _Rule | None:
    """The rule that pathspec makes of a pattern (GitIgnoreSpecPattern.pattern_to_regex), None if it says nothing.
    Raises ValueError for one that it does not take."""
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"more than {MAX_PATTERN} characters")
    pattern = pattern if pattern.endswith("\\ ") else pattern.rstrip()
    if not pattern or pattern.startswith("#") or pattern == "/":
        return None
    asked = pattern.endswith("/")
    ignored = not pattern.startswith("!")
    segments = pattern.removeprefix("!").split("/")
    directories = not segments[-1]
    segments = _normal(segments)
    if segments in (["**"], ["**", "*"]):
        # pathspec's own `.` and `/`; the latter never stands at a path's beginning.
        return _Rule((), ignored, asked, slash=False, everything=True) if not directories else None
    if segments == ["**", "*", "**"]:
        return None
    try:
        tokens = _tokens(segments)
    except _Discarded:
        return None
    slash = segments[-1] == "**"
    anywhere = segments[0] == "**" and len(segments) == 2 and not any(isinstance(item, _Set) for item in tokens)
    return _Rule(tokens, ignored, asked, slash, anywhere=anywhere)


def _normal(segments: list[str]) -> list[str]:
    if not segments[0]:
        del segments[0]
    elif (len(segments) == 1 or (len(segments) == 2 and not segments[1])) and segments[0] != "**":
        segments.insert(0, "**")
    if not segments:
        raise ValueError("it is empty")
    if not segments[-1]:
        segments[-1] = "**"
    return [part for at, part in enumerate(segments) if not (at and part == "**" == segments[at - 1])]


class _Discarded(Exception):
    """Git, and so pathspec, passes over a pattern with an open bracket."""


def _tokens(segments: list[str]) -> tuple[_Token, ...]:
    tokens: list[_Token] = []
    slash = False
    for at, segment in enumerate(segments):
        if segment == "**":
            if at == 0:
                tokens.append(_LEADING)
            elif at < len(segments) - 1:
                tokens.append(_INNER)
                slash = True
            continue
        if slash:
            tokens.append("/")
        tokens += [_SEGMENT] if segment == "*" else _segment(segment)
        slash = True
    return tuple(tokens)


def _segment(pattern: str) -> Iterable[_Token]:
    at = 0
    found: list[_Token] = []
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "\\":
            if at == len(pattern):
                raise ValueError("nothing stands behind the last “\\”")
            found.append(pattern[at])
            at += 1
        elif char == "*":
            found.append(_STAR)
        elif char == "?":
            found.append(_ONE)
        elif char == "[":
            token, at = _set(pattern, at)
            found.append(token)
        else:
            found.append(char)
    return found


def _set(pattern: str, at: int) -> tuple[_Set, int]:
    start = at + (pattern[at : at + 1] in ("!", "^"))
    end = pattern.find("]", start + (pattern[start : start + 1] == "]"))
    if end < 0:
        raise _Discarded
    return _Set(tuple(_ranges(pattern[start:end])), start > at), end + 1


def _ranges(inside: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(inside):
        low, high = inside[at], inside[at]
        if inside[at + 1 : at + 2] == "-" and at + 2 < len(inside):
            high = inside[at + 2]
            at += 2
        if low > high:
            raise ValueError(f"“{low}-{high}” is no range")
        yield low, high
        at += 1


@lru_cache(maxsize=65536)
def _whole(tokens: tuple[_Token, ...], name: str) -> bool:
    """Whether `tokens` match all of the one segment `name`."""
    places = {0}
    for token in tokens:
        if not places:
            return False
        places = _step(token, name, places)
    return len(name) in places


def _step(token: _Token, path: str, places: set[int]) -> set[int]:
    """The places in `path` that can be reached over `token` from one of `places`."""
    if isinstance(token, str):
        return {at + 1 for at in places if path[at : at + 1] == token}
    if isinstance(token, _Set):
        return {at + 1 for at in places if at < len(path) and token.holds(path[at])}
    if token == _ONE:
        return {at + 1 for at in places if at < len(path) and path[at] != "/"}
    if token == _LEADING:
        return {0} | {at + 1 for at in range(1, len(path)) if path[at] == "/"}
    if token == _INNER:
        starts = [at for at in places if path[at : at + 1] == "/"]
        return places | (set(range(min(starts) + 2, len(path) + 1)) if starts else set())
    reached: set[int] = set()
    for at in places:
        here = at + 1 if token == _SEGMENT else at
        if token == _SEGMENT and (at >= len(path) or path[at] == "/"):
            continue
        while here not in reached:
            reached.add(here)
            if here < len(path) and path[here] != "/":
                here += 1
    return reached
