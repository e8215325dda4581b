"""docs/problems.md and its Chinese twin list every kind of problem that there is, in words that the program says."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

from babel.messages import Message, pofile

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    *(
        path
        for part in ("formats", "specs", "clients", "flows")
        for path in (ROOT / "platform/refmill" / part).rglob("*.py")
    ),
    *(ROOT / "argo/refmill_argo" / name for name in ("owntemplates.py", "writing.py")),
]
SPEAKERS = [*SOURCES, *(ROOT / "repos/refmill_repos").rglob("*.py"), ROOT / "argo/refmill_argo/allowing.py"]
"""Where the words of a problem may stand."""
MAKERS = {"Problem", "Fault", "Deviation", "BadPath", "add", "_add", "_invalid"}
"""The functions and classes whose first argument is a problem's kind."""
SLUG = re.compile(r"[a-z]+(?:-[a-z]+)*")


def rows(name: str = "problems.md") -> dict[str, list[str]]:
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
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


def _of_problems(message: Message) -> bool:
    speakers = {str(path.relative_to(ROOT)) for path in SPEAKERS}
    return any(file in speakers for file, _ in message.locations)


@functools.cache
def catalogue() -> list[tuple[re.Pattern[str], str]]:
    """Every English sentence as a pattern whose places have names, with what stands for it in Chinese; those with the
    most letters of their own come first."""
    with (ROOT / "platform/refmill/locale/zh/LC_MESSAGES/refmill.po").open("rb") as file:
        messages = [message for message in pofile.read_po(file) if message.id and _of_problems(message)]
    found = []
    for message in messages:
        english = message.id if isinstance(message.id, tuple) else (message.id,)
        chinese = message.string[-1] if isinstance(message.string, tuple) else message.string
        for one in english:
            parts = re.split(r"%\((\w+)\)s", one)
            groups = [
                re.escape(part) if at % 2 == 0 else f"(?P={part})" if part in parts[1:at:2] else f"(?P<{part}>.+)"
                for at, part in enumerate(parts)
            ]
            if len("".join(parts[::2])) > 1:
                found.append((len("".join(parts[::2])), re.compile("".join(groups)), str(chinese)))
    return [(pattern, chinese) for _, pattern, chinese in sorted(found, key=lambda item: -item[0])]


def translated(words: str, *, within: bool = False) -> str:
    """What a Chinese reader is told instead of the English `words` of the table; `within` a sentence only what is
    a part of a sentence itself, and not a name or a value."""
    for pattern, chinese in catalogue():
        if (match := pattern.fullmatch(words.replace("\\\\", "\\"))) and not (within and " " not in words):
            values = {name: translated(value, within=True) for name, value in match.groupdict().items()}
            return (chinese % values if values else chinese).replace("\\", "\\\\")
    return words


def test_the_chinese_page_says_the_same_in_the_words_of_the_catalogue() -> None:
    chinese = rows("problems.zh-CN.md")
    assert list(chinese) == list(rows())
    for kind, (what, message, remedy) in rows().items():
        assert chinese[kind][1:] == [translated(message), translated(remedy)], kind
        assert ("*Warning.*" in what) == ("*警告。*" in chinese[kind][0]), kind
        assert all(re.search("[\u4e00-\u9fff]", cell) for cell in chinese[kind]), kind


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
