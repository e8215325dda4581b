"""docs/problems.md lists every kind of problem that there is, in words that the program really says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    path
    for part in ("formats", "specs", "clients", "flows")
    for path in (ROOT / "platform/refmill" / part).rglob("*.py")
]
SPEAKERS = [*SOURCES, *(ROOT / "repos/refmill_repos").rglob("*.py")]
"""Where the words of a problem may stand."""
MAKERS = {"Problem", "Fault", "Deviation", "BadPath", "add", "_add", "_invalid"}
"""The functions and classes whose first argument is a problem's kind."""
SLUG = re.compile(r"[a-z]+(?:-[a-z]+)*")


def rows() -> dict[str, list[str]]:
    page = (ROOT / "docs/problems.md").read_text(encoding="utf-8")
    cells = [line.strip("|").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    return {kind.strip(" `"): [cell.strip() for cell in others] for kind, *others in cells}


def kinds() -> set[str]:
    return {kind for path in SOURCES for kind in kinds_in(ast.parse(path.read_text(encoding="utf-8")))}


def kinds_in(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        value: ast.expr | None = None
        if isinstance(node, ast.Call) and node.args:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            value = node.args[0] if name in MAKERS else None
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "kind":
            value = node.value
        elif isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple) and len(node.value.elts) == 3:
            value = node.value.elts[1]  # formats.lockfile
        choices = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
        for item in choices:
            if isinstance(item, ast.Constant) and isinstance(item.value, str) and SLUG.fullmatch(item.value):
                yield item.value


def sentences() -> list[re.Pattern[str]]:
    """Every text of the program as a pattern, its places free."""
    found = []
    for path in SPEAKERS:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("text", "counted") and node.args:
                for english in [item.value for item in node.args if isinstance(item, ast.Constant)]:
                    parts = re.split(r"%\(\w+\)s", str(english))
                    found.append(re.compile(".+".join(map(re.escape, parts))))
    return [sentence for sentence in found if sentence.pattern not in (".+", ".*")]


def test_every_kind_is_listed_and_no_other() -> None:
    assert set(rows()) == kinds()


def test_kinds_are_found_in_the_code() -> None:
    assert {"cycle", "duplicate-output", "lock-entry", "bad-template", "image-not-used", "too-much"} <= kinds()


def test_the_kinds_stand_in_order() -> None:
    assert list(rows()) == sorted(rows())


def test_messages_and_remedies_are_what_the_program_says() -> None:
    said = sentences()
    for kind, (_, message, remedy) in rows().items():
        for words in (message, remedy.replace("\\\\", "\\")):
            assert any(sentence.fullmatch(words) for sentence in said), f"{kind}: {words}"
