"""Projects of the conformance suite, each written down in one text file.

A file begins with what the project shows, in words, and with directives (see `Project`), one a line as `name: value`.
Then come the project's files, each below a line `-- path --`. What cannot be seen in text stands behind the path:
`-- run.sh (executable) --`, `(crlf)` for line ends of Windows, `(open)` for a file whose last line has no end,
`-- link -> target --` for a symbolic link.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).with_name("projects")
_HEAD = re.compile(r"^-- (?P<path>.+?)(?: \((?P<marks>[a-z, ]+)\))?(?: -> (?P<target>.+))? --$")
_DIRECTIVE = re.compile(r"^(do|flags|code|refused|show|change|restless|here|folders): (.*)$")


@dataclass(frozen=True, slots=True)
class File:
    """A file's bytes, or where a link leads."""

    content: bytes = b""
    executable: bool = False
    target: str = ""

    def write(self, path: Path) -> None:
        """Make it at `path`, and the directories above it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.target:
            path.symlink_to(self.target)
            return
        path.write_bytes(self.content)
        path.chmod(0o755 if self.executable else 0o644)


@dataclass(frozen=True, slots=True)
class Project:
    """A project, and what is special about it.

    `do`: commands that are run in it before it is committed. `flags`: of `dvc repro` and `refmill run`. `code`: how
    `dvc repro` ends. `refused`: the kinds of problems for which Refmill refuses it, though DVC takes it. `show`:
    commands of DVC that must say the same after a run by Refmill. `change`: commands by a name, each making one change
    after a run. `restless`: it has stages that run every time. `here`: why it cannot be pushed. `folders`: the DVC
    projects in it, "" for the root; each is run where it lies.
    """

    name: str
    about: str
    files: dict[str, File]
    source: str
    do: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    code: int = 0
    refused: tuple[str, ...] = ()
    show: tuple[str, ...] = ()
    change: dict[str, str] = field(default_factory=dict)
    restless: bool = False
    here: str = ""
    folders: tuple[str, ...] = ("",)

    def __str__(self) -> str:
        return self.name


def parse(name: str, source: str) -> Project:
    """The project that a file's text describes."""
    head, files = _split(source)
    told = [match.groups() for line in head if (match := _DIRECTIVE.match(line))]
    words = [line for line in head if line and not _DIRECTIVE.match(line)]

    def all_of(key: str) -> list[str]:
        return [value for given, value in told if given == key]

    changes = dict(value.split(" | ", 1) for value in all_of("change"))
    return Project(
        name, " ".join(words), files, source,
        do=tuple(all_of("do")), flags=tuple(" ".join(all_of("flags")).split()),
        code=int("".join(all_of("code")) or 0), refused=tuple(" ".join(all_of("refused")).split()),
        show=tuple(all_of("show")), change=changes, restless=bool(all_of("restless")), here=" ".join(all_of("here")),
        folders=tuple(name.strip(".") for name in " ".join(all_of("folders")).split()) or ("",),
    )  # fmt: skip


def _split(source: str) -> tuple[list[str], dict[str, File]]:
    head: list[str] = []
    files: dict[str, File] = {}
    current: re.Match[str] | None = None
    lines: list[str] = []
    for line in [*source.split("\n")[:-1], "-- end --"]:
        if not (found := _HEAD.match(line)):
            (lines if current else head).append(line)
            continue
        if current:
            files[current["path"]] = _file(current, lines)
        current, lines = found, []
    return head, files


def _file(head: re.Match[str], lines: list[str]) -> File:
    if head["target"]:
        return File(target=head["target"])
    marks = set((head["marks"] or "").split(", ")) - {""}
    assert marks <= {"executable", "crlf", "open"}, f"{head['path']}: {marks}"
    text = "".join(line + ("\r\n" if "crlf" in marks else "\n") for line in lines)
    return File((text.rstrip("\r\n") if "open" in marks else text).encode(), "executable" in marks)


def projects() -> Iterator[Project]:
    """All of them, by name."""
    for path in sorted(FOLDER.glob("*.txt")):
        yield parse(path.stem, path.read_text(encoding="utf-8"))
