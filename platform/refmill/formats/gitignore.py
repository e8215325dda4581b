"""The lines that DVC adds to .gitignore files for outputs, and git's own rules for what is ignored already.

The rule to keep: patterns come from anybody, so matching is by a table and never by a regular expression, whose
backtracking a pattern like `*a*a*a*a*b` makes endless.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

FILE = ".gitignore"
Read = Callable[[str], bytes | None]
"""Gives the bytes of a file by its path from the root, None if there is none."""

_SPECIAL = re.compile(r"([\\\[\]!*#?])")
_MAX_LINES = 10_000
_CLASSES: dict[str, Callable[[str], bool]] = {
    "alnum": str.isalnum,
    "alpha": str.isalpha,
    "blank": " \t".__contains__,
    "cntrl": lambda char: ord(char) < 32 or ord(char) == 127,
    "digit": str.isdigit,
    "graph": lambda char: char.isprintable() and char != " ",
    "lower": str.islower,
    "print": str.isprintable,
    "punct": lambda char: char.isprintable() and not char.isalnum() and char != " ",
    "space": str.isspace,
    "upper": str.isupper,
    "xdigit": "0123456789abcdefABCDEF".__contains__,
}


def add(old: bytes, name: str) -> bytes:
    """The content of a .gitignore after DVC added the output `name` of its directory (scmrepo.git.Git.ignore)."""
    line = "/" + _SPECIAL.sub(r"\\\1", name) + "\n"
    return old + (b"" if not old or old.endswith(b"\n") else b"\n") + line.encode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where in a git repository a project lies, and the .gitignore files of the directories above it, by path from
    git's root."""

    project: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)


def update(outputs: Iterable[tuple[str, bool]], read: Read, around: Surroundings | None = None) -> dict[str, bytes]:
    """The .gitignore files, by path from the project's root, that change when DVC saves `outputs`, in this order.

    An output is its path from the project's root and whether it is a directory; one that is ignored already, be it by
    what is `around` the project, adds nothing. Only outputs with `cache: true` get a line.
    """
    changed: dict[str, bytes] = {}
    around = around or Surroundings()
    inside = f"{around.project}/" if around.project else ""

    def now(path: str) -> bytes | None:
        if not path.startswith(inside):
            return around.files.get(path)
        own = path[len(inside) :]
        return changed.get(own) or read(own)

    for path, is_directory in outputs:
        if ignored(inside + path, now, is_directory=is_directory):
            continue
        folder, _, name = path.rpartition("/")
        file = f"{folder}/{FILE}" if folder else FILE
        changed[file] = add(now(inside + file) or b"", name)
    return changed


def ignored(path: str, read: Read, *, is_directory: bool = False) -> bool:
    """Whether git's .gitignore files (not .git/info/exclude) exclude `path` or a directory above it."""
    parts = path.split("/")
    rules = [(depth, _rules(read("/".join([*parts[:depth], FILE])) or b"")) for depth in range(len(parts))]
    for length in range(1, len(parts) + 1):
        decided = _decided(parts[:length], rules, is_directory=is_directory or length < len(parts))
        if decided is not None and not decided.negated:
            return True
    return False


@dataclass(frozen=True, slots=True)
class _Rule:
    """One line: `tokens` match the whole path from the .gitignore's directory if `anchored`, else the name alone.
    `literal` is what they match where that is one name."""

    tokens: tuple[Token, ...]
    literal: str | None
    negated: bool
    directories: bool
    anchored: bool


def _decided(parts: list[str], rules: list[tuple[int, tuple[_Rule, ...]]], *, is_directory: bool) -> _Rule | None:
    """The rule that decides: the last one that matches in the deepest file that has one."""
    for depth, found in reversed(rules):
        if depth >= len(parts):
            continue
        whole = "/".join(parts[depth:])
        for rule in reversed(found):
            name = whole if rule.anchored else parts[-1]
            fits = rule.literal == name if rule.literal is not None else _matches(rule.tokens, name)
            if fits and (is_directory or not rule.directories):
                return rule
    return None


@lru_cache(maxsize=256)
def _rules(data: bytes) -> tuple[_Rule, ...]:
    lines = data.decode("utf-8", "surrogateescape").split("\n", _MAX_LINES)[:_MAX_LINES]
    return tuple(rule for rule in map(_rule, lines) if rule is not None)


@lru_cache(maxsize=4096)
def _rule(line: str) -> _Rule | None:
    line = line.removesuffix("\r")
    while line.endswith(" ") and not line.endswith("\\ "):
        line = line[:-1]
    if not line or line.startswith("#"):
        return None
    negated = line.startswith("!")
    pattern = line[1:] if negated else line
    directories = pattern.endswith("/")
    pattern = pattern.removesuffix("/")
    anchored = "/" in pattern
    tokens = _tokens(pattern.removeprefix("/"))
    literal = "".join(map(str, tokens)) if all(isinstance(token, str) for token in tokens) else None
    return _Rule(tokens, literal, negated, directories, anchored) if tokens else None


@dataclass(frozen=True, slots=True)
class _Set:
    """`[a-z]`: ranges and named classes of which one, or with `negated` none, must hold the character."""

    ranges: tuple[tuple[str, str], ...]
    classes: tuple[str, ...]
    negated: bool

    def holds(self, char: str) -> bool:
        """Whether `char` is in the set; "/" never is."""
        inside = any(low <= char <= high for low, high in self.ranges)
        return char != "/" and (inside or any(_CLASSES[name](char) for name in self.classes)) != self.negated


_ANY, _STAR, _ALL, _FOLDERS = range(4)
"""`?`, `*`, a final `**`, and `**/`, which is any number of directories, none too."""
Token = str | int | _Set


def _tokens(pattern: str) -> tuple[Token, ...]:
    """The pattern in pieces; () for one that git finds malformed, which then matches nothing."""
    tokens: list[Token] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "*":
            end = at
            while pattern[end : end + 1] == "*":
                end += 1
            wide = end - at >= 2 and (at == 0 or pattern[at - 1] == "/")
            if wide and end == len(pattern):
                tokens.append(_ALL)
            elif wide and pattern[end] == "/":
                tokens.append(_FOLDERS)
                end += 1
            else:
                tokens.append(_STAR)
            at = end
            continue
        if char == "[":
            found = _set(pattern, at + 1)
            if found is None:
                return ()
            token, at = found
            tokens.append(token)
            continue
        if char == "\\" and at + 1 == len(pattern):
            return ()
        at += char == "\\"
        tokens.append(_ANY if char == "?" else pattern[at])
        at += 1
    return tuple(tokens)


def _set(pattern: str, at: int) -> tuple[_Set, int] | None:
    negated = pattern[at : at + 1] in {"!", "^"}
    at += negated
    ranges: list[tuple[str, str]] = []
    classes: list[str] = []
    first = True
    while at < len(pattern) and (first or pattern[at] != "]"):
        first = False
        if pattern.startswith("[:", at) and (end := pattern.find(":]", at)) > 0:
            if pattern[at + 2 : end] not in _CLASSES:
                return None
            classes.append(pattern[at + 2 : end])
            at = end + 2
            continue
        low, at = _character(pattern, at)
        high = low
        if pattern[at : at + 1] == "-" and pattern[at + 1 : at + 2] not in {"", "]"}:
            high, at = _character(pattern, at + 1)
        ranges.append((low, high))
    if at >= len(pattern):
        return None
    return _Set(tuple(ranges), tuple(classes), bool(negated)), at + 1


def _character(pattern: str, at: int) -> tuple[str, int]:
    at += pattern[at] == "\\" and at + 1 < len(pattern)
    return pattern[at], at + 1


def _matches(tokens: tuple[Token, ...], name: str) -> bool:
    """Whether `tokens` match all of `name`: for each token the set of places that can be reached."""
    places = {0}
    for token in tokens:
        if not places:
            return False
        places = _step(token, name, places)
    return len(name) in places


def _step(token: Token, name: str, places: set[int]) -> set[int]:
    if isinstance(token, str):
        return {at + 1 for at in places if name[at : at + 1] == token}
    if isinstance(token, _Set):
        return {at + 1 for at in places if at < len(name) and token.holds(name[at])}
    if token == _ANY:
        return {at + 1 for at in places if at < len(name) and name[at] != "/"}
    if token == _ALL:
        return set(range(min(places), len(name) + 1))
    if token == _FOLDERS:
        start = min(places)
        return places | {at + 1 for at in range(start, len(name)) if name[at] == "/"}
    reached: set[int] = set()
    for at in places:
        while at not in reached:
            reached.add(at)
            if at < len(name) and name[at] != "/":
                at += 1
    return reached
