"""Each kind of problem of docs/problems.md, really pushed: git's answer says what the page says, in both languages."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import examples
import pytest
from commits import Repository

from platforms import Platform
from refmill.clients.resolver import SocketResolver
from refmill.ports.resolver import Source

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"en": "problems.md", "zh": "problems.zh-CN.md"}
PUSHERS = {"en": "alice", "zh": "mei"}


def rows(language: str) -> dict[str, list[str]]:
    """The cells of a page by kind: what is wrong, example, remedy."""
    page = (ROOT / "docs" / PAGES[language]).read_text(encoding="utf-8")
    cells = [line.strip("|").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    return {kind.strip(" `"): [cell.strip().replace("\\\\", "\\") for cell in others] for kind, *others in cells}


TABLES = {language: rows(language) for language in PAGES}


@pytest.fixture(scope="session")
def pushers(platform: Platform) -> None:
    """A user for each language."""
    platform.user("mei")
    platform.chooses("mei", "zh")


def test_every_kind_has_an_example() -> None:
    assert set(examples.EXAMPLES) | examples.NOT_PUSHED == set(TABLES["en"]) == set(TABLES["zh"])


@pytest.mark.parametrize("language", PAGES)
@pytest.mark.parametrize("kind", sorted(examples.EXAMPLES))
@pytest.mark.usefixtures("pushers")
def test_a_problem_is_told_at_a_push(
    kind: str, language: str, platform: Platform, name: str, repository: Repository
) -> None:
    commit = repository.commit(examples.files(kind))
    found = SocketResolver(platform.data / "run/resolver.sock").check(Source(repository.path, commit))
    assert kind in examples.AT_THE_GATE or kind in [problem.kind for problem in found.problems]
    user = PUSHERS[language]
    done = subprocess.run(
        ["git", "push", platform.url(f"{user}/{name}", user), f"{commit}:refs/heads/main"], cwd=repository.path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = " ".join(re.sub(r"^remote: ?", "", line).strip() for line in done.stderr.splitlines())
    what, message, remedy = TABLES[language][kind]
    warning = what.startswith(("*Warning.*", "*警告。*"))
    assert (done.returncode == 0) is warning, said
    if kind not in examples.ELSE:
        assert message in said
        assert remedy in said
