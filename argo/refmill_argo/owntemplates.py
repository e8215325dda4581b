"""A repository's own templates of Workflows: the files of `.refmill/templates/` in a project, within bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from refmill import errors
from refmill.formats.yamlfile import excerpt
from refmill.ports.trees import Tree
from refmill.problems import Place, Problem
from refmill.texts import Text, text

FOLDER = ".refmill/templates"
MAIN = "workflow.yaml.j2"
FILES, BYTES = 32, 64 << 10
"""How many files are read, and how large each may be; ours has five thousand bytes."""
BUILT_IN = "refmill"
"""Where templates find those of the platform."""


def read(tree: Tree) -> dict[str, str]:
    """The templates of a project by their names below the folder; {} if it has none. Raises Invalid."""
    entry = tree.entry(FOLDER)
    if entry is None or (entry.kind == "directory" and not tree.children(FOLDER)):
        return {}
    found: dict[str, str] = {}
    problems = [*_entries(tree, found)] if entry.kind == "directory" else [_no_file(FOLDER)]
    if not problems and MAIN not in found:
        told = text("There is no template “%(path)s”, and nothing uses the others", path=f"{FOLDER}/{MAIN}")
        problems.append(_bad(Place(f"{FOLDER}/{MAIN}"), told, text("Commit the file, or take the others away.")))
    if problems:
        raise errors.Invalid(problems)
    return found


def spot(files: Mapping[str, str], file: str, line: int) -> tuple[Place, str]:
    """A place in a template, and the line there; the whole of the main one for what is none of these files."""
    if file not in files:
        return Place(f"{FOLDER}/{MAIN}"), ""
    lines = files[file].split("\n")
    if not 1 <= line <= len(lines):
        return Place(f"{FOLDER}/{file}"), ""
    column = len(lines[line - 1]) - len(lines[line - 1].lstrip()) + 1
    return Place(f"{FOLDER}/{file}", line, column), excerpt(files[file].encode(), line)


def _entries(tree: Tree, found: dict[str, str]) -> Iterator[Problem]:
    """Read the files, and tell what is wrong with them."""
    for count, (path, entry) in enumerate(tree.walk(FOLDER)):
        if count >= FILES:
            message = text("There are more than %(limit)s templates", limit=FILES)
            yield _too_much(Place(FOLDER), message)
            return
        name = path[len(FOLDER) + 1 :]
        if entry.kind != "file":
            yield _no_file(path)
        elif name.partition("/")[0] == BUILT_IN:
            told = text("Templates below “%(folder)s/” are the platform's own", folder=BUILT_IN)
            yield _bad(Place(path), told, text("Take another name."))
        else:
            try:
                found[name] = tree.read(path, BYTES).decode("utf-8")
            except errors.LimitExceeded:
                yield _too_much(Place(path), text("The file is larger than %(limit)s bytes", limit=BYTES))
            except errors.NotFound:
                yield _no_file(path)
            except UnicodeDecodeError:
                told = text("The file is not valid UTF-8")
                yield Problem("encoding", Place(path), told, text("Save the file as UTF-8."))


def _no_file(path: str) -> Problem:
    return Problem(
        "unsupported", Place(path), text("This is a link or a submodule: it is not followed"),
        text("Commit the file itself."),
    )  # fmt: skip


def _bad(place: Place, message: Text, remedy: Text) -> Problem:
    return Problem("workflow-template", place, message, remedy)


def _too_much(place: Place, message: Text) -> Problem:
    return Problem("workflow-limit", place, message, text("A template says only what is otherwise than in ours."))
