"""A commit that answers every question as an earlier one did is not resolved again, and is told the same."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from refmill import errors
from refmill.clients import codec, dvc_parsing
from refmill.clients.remembering.resolution import RecordingTree
from refmill.clients.resolver import memory
from refmill.clients.resolver.client import Answer
from refmill.clients.resolver.memory import RememberingResolver
from refmill.ports.resolver import Checked, Source
from refmill_repos.trees import GitTree

LONG = "".join(f"line {number}\n" for number in range(300))
PROJECT = {
    ".dvc/config": "", ".gitattributes": "data/* filter=lfs\n", "README": "one\n", "params.yaml": "k: 1\n",
    "train.py": LONG, "data/large.bin": LONG,
    "dvc.yaml": "stages:\n  train:\n    cmd: python train.py ${k}\n    deps: [train.py, data]\n    outs: [model]\n",
    "dvc.lock": "schema: '2.0'\nstages:\n  train:\n    cmd: python train.py 1\n",
}  # fmt: skip
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12\n"


class Repository:
    """A repository whose commits are made one upon the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self._git("init", "--quiet", "-b", "main")

    def _git(self, *arguments: str) -> str:
        name = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
        command = ["git", *name, *arguments]
        return subprocess.run(command, cwd=self.path, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, changes: dict[str, str | None]) -> Source:
        for path, content in changes.items():
            place = self.path / path
            if content is None:
                place.unlink()
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(content)
        self._git("add", "-A", "--force")
        self._git("-c", "filter.lfs.clean=cat", "commit", "--quiet", "--allow-empty", "-m", "change")
        return Source(self.path / ".git", self._git("rev-parse", "HEAD"))


def open_tree(source: Source) -> GitTree:
    return GitTree(source.path, source.commit)


class Resolver:
    """Resolves, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def ask(self, source: Source) -> Answer:
        self.asked += 1
        tree = RecordingTree(open_tree(source))
        checked = dvc_parsing.check(tree, max_stages=100)
        return Answer(checked, json.dumps(tree.noted()).encode(), len(codec.to_json(checked)))


def afresh(source: Source) -> Checked:
    return dvc_parsing.check(open_tree(source), max_stages=100)


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({"README": "two, and longer\n"}, False),
        ({"README": None, "docs/new.md": "x"}, True),  # a new folder is a new place for a dvc.yaml
        ({"new.txt": "x"}, True),
        ({"train.py": LONG + "more\n"}, False),
        ({}, False),
        ({"train.py": None}, True),
        ({"params.yaml": "k: 2\n"}, True),
        ({"dvc.yaml": PROJECT["dvc.yaml"].replace("train:", "other:")}, True),
        ({"dvc.lock": None}, True),
        ({"dvc.lock": PROJECT["dvc.lock"] + "    outs: []\n"}, True),
        ({".dvcignore": "data\n"}, True),
        ({"sub/dvc.yaml": "stages: {two: {cmd: 'true'}}\n"}, True),
        ({"refmill.yaml": "apiVersion: refmill/v1\nkind: Pipeline\nmetadata: {name: x}\n"}, True),
        ({"data/large.bin": POINTER}, True),
        ({"data/large.bin": LONG + "x"}, True),  # what lies in a folder that is read is looked at again
        ({".dvc/config": "[core]\n    autostage = true\n"}, True),
        ({"model": "git has it too"}, True),
    ],
)
def test_a_change_is_resolved_again_where_a_question_has_another_answer(
    tmp_path: Path, changes: dict[str, str | None], again: bool
) -> None:
    repository, resolver = Repository(tmp_path / "one"), Resolver()
    remembering = RememberingResolver(resolver, open_tree)
    first = repository.commit(PROJECT)
    assert remembering.check(first) == afresh(first)
    second = repository.commit(changes)
    assert remembering.check(second) == afresh(second)
    assert resolver.asked == 1 + again
    assert (remembering.check(first), remembering.check(second)) == (afresh(first), afresh(second))
    assert resolver.asked == 1 + again


def test_what_one_repository_said_is_never_told_of_another(tmp_path: Path) -> None:
    resolver = Resolver()
    remembering = RememberingResolver(resolver, open_tree)
    for name in ("one", "two"):
        remembering.check(Repository(tmp_path / name).commit(PROJECT))
    assert resolver.asked == 2


def test_what_is_remembered_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "EACH", 2)
    repository, resolver = Repository(tmp_path / "one"), Resolver()
    remembering = RememberingResolver(resolver, open_tree)
    sources = [repository.commit({**PROJECT, "params.yaml": f"k: {number}\n"}) for number in range(3)]
    for source in sources:
        remembering.check(source)
    remembering.check(sources[2])
    assert resolver.asked == 3
    remembering.check(sources[0])
    assert resolver.asked == 4, "two of a repository are kept"
    monkeypatch.setattr(memory, "BYTES", 0)
    other = Repository(tmp_path / "two").commit(PROJECT)
    remembering.check(other)
    remembering.check(other)
    assert resolver.asked == 6
    assert remembering._size == 0


@pytest.mark.parametrize("questions", [b"", b"[", b"[]", b'{"entries": 1}', b"{}", b"[" * 100_000])
def test_questions_that_are_none_are_not_believed(tmp_path: Path, questions: bytes) -> None:
    repository = Repository(tmp_path / "one")

    class Broken(Resolver):
        def ask(self, source: Source) -> Answer:
            self.asked += 1
            return Answer(Checked(None), questions, 1)

    resolver = Broken()
    remembering = RememberingResolver(resolver, open_tree)
    for text in ("1", "2"):
        assert remembering.check(repository.commit({"a": text})) == Checked(None)
    assert resolver.asked == 2


def test_an_unknown_commit_is_the_resolvers_to_refuse(tmp_path: Path) -> None:
    repository, resolver = Repository(tmp_path / "one"), Resolver()
    remembering = RememberingResolver(resolver, open_tree)
    remembering.check(repository.commit(PROJECT))
    with pytest.raises(errors.NotFound):
        remembering.check(Source(repository.path / ".git", "0" * 40))
