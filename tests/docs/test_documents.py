"""What the documents say exists: links, files, targets of make, commands of refmill; and both readmes say the same."""

import re
from pathlib import Path

import click
import pytest

from refmill_web import cli

ROOT = Path(__file__).resolve().parents[2]
READMES = ["README.md", "README.zh-CN.md"]
DOCUMENTS = sorted(str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(page: str) -> list[str]:
    """The lines of all fenced blocks that are commands, not pictures."""
    fenced = re.findall(r"^```[a-z]*\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return [line for block in fenced if "──" not in block for line in block.splitlines()]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z0-9-]*):", read("Makefile"), re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_to_files(document: str) -> None:
    prose = re.sub(r"^```.*?^```", "", read(document), flags=re.MULTILINE | re.DOTALL)
    local = [link for link in re.findall(r"\]\(([^)#\s]+)", prose) if "://" not in link]
    assert [link for link in local if not (ROOT / document).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("document", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_files_that_are_named_are_there(document: str) -> None:
    named = re.findall(r"`((?:platform|repos|web|docs|tests|tools|requirements)/[\w./-]+)`", read(document))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if name != "docs/cli.md"])
def test_make_targets_that_are_named_exist(document: str) -> None:
    named = set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", read(document), re.MULTILINE))
    assert named <= targets()


@pytest.mark.parametrize("document", READMES)
def test_refmill_commands_of_a_readme_exist(document: str) -> None:
    lines = [line.split() for line in blocks(read(document)) if line.startswith("refmill ")]
    assert len(lines) >= 5
    for _, *words in lines:
        command: click.Command = cli.command
        context = click.Context(command)
        for word in words:
            if not isinstance(command, click.Group):
                break
            found = command.get_command(context, word)
            assert found is not None, " ".join(words)
            command, context = found, click.Context(found, parent=context)


def headings(page: str) -> list[str]:
    return re.findall(r"^(#+) ", re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)


def links(page: str) -> list[str]:
    """Where a page leads, without regard to its language."""
    found = re.findall(r"\]\(([^)]+)\)", page)
    return [link.replace(".zh-CN", "") for link in found if not link.startswith("README")]


def test_the_readmes_have_the_same_commands_headings_and_links() -> None:
    english, chinese = (read(name) for name in READMES)
    assert blocks(english) == blocks(chinese)
    assert headings(english) == headings(chinese)
    assert links(english) == links(chinese)


def test_every_decision_is_listed_once() -> None:
    pages = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("0*.md"))
    assert re.findall(r"\]\((0[^)]+)\)", read("docs/decisions/README.md")) == pages
    for name in pages:
        assert read(f"docs/decisions/{name}").startswith(f"# {name[:4]} ")


def test_make_help_lists_every_target_that_a_person_types() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", read("Makefile"), re.MULTILINE)
    assert phony is not None
    explained = set(re.findall(r"^([a-z][a-z0-9-]*):.*## ", read("Makefile"), re.MULTILINE))
    assert set(phony[1].split()) - {"help"} == explained
