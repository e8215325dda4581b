"""The threat model names tests; they must exist, or a defence is believed in that nobody shows."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "security.md"


def named() -> list[tuple[str, str]]:
    """File and function of each test that the page names; `…::` is the file before it in the same cell."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        file = ""
        for place, function in re.findall(r"`(tests/[\w/.]+|…)::(\w+)`", line):
            file = place if place != "…" else file
            found.append((file, function))
    return found


def test_every_test_that_the_page_names_exists() -> None:
    assert len(named()) > 30
    for file, function in named():
        source = (PAGE.parents[1] / file).read_text(encoding="utf-8")
        assert re.search(rf"^(async )?def {function}\(", source, re.MULTILINE), f"{file}::{function}"


def test_every_attempt_names_a_test() -> None:
    rows = [
        line
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and line.count(" | ") == 2
    ]
    attempts = [row for row in rows if "`tests/" in row]
    sections = PAGE.read_text(encoding="utf-8").split("## What is not defended")[0].split("## What must not happen")[1]
    written = [line for line in sections.splitlines() if line.startswith("| ") and not line.startswith("| Attempt")]
    assert attempts == written
