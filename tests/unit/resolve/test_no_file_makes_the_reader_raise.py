"""Whatever is written into the files, the reader answers with problems and never raises."""

from __future__ import annotations

import random

import pytest

from refmill.clients import dvc_parsing
from refmill.clients.resolver.warming import SAMPLE, MemoryTree

MUTATIONS = 150
SNIPPETS = [
    "null", "{}", "[]", "1", "true", "2020-01-01", "${x}", "${", "*a", "&a", "!!set", "? ", ": ", "- ", "\n", "  ", "'",
    '"', "\t", "\0", "\u2028", "ä", "é" * 300, "<<", "..", "/", "ds://x", "foreach", "matrix", "do", "cmd", "deps",
    "1e999", ".nan", "0x1f", "{a: {b: [1]}}", "!!python/object:os.system x", "%YAML 1.1\n---\n", "---\n", "item", "@", "#",
]  # fmt: skip
WHOLE = [
    b"",
    b"\xff\xfe",
    b"\x00",
    b"null\n",
    b"[]",
    b"1",
    b"'",
    b"{",
    b"? a",
    b"--- a\n--- b\n",
    b"stages: {a: {cmd: {b: c}}}",
]


def mutated(seed: int) -> dict[str, bytes]:
    dice = random.Random(seed)
    files = dict(SAMPLE)
    for _ in range(dice.randint(1, 3)):
        name = dice.choice(list(files))
        body = files[name].decode("utf-8", "replace")
        start = dice.randrange(len(body) + 1)
        end = min(len(body), start + dice.choice([0, 1, 3, 10]))
        files[name] = (body[:start] + dice.choice(SNIPPETS) + body[end:]).encode()
    return files


def test_changed_files_are_answered() -> None:
    for seed in range(MUTATIONS):
        assert dvc_parsing.check(MemoryTree(mutated(seed)), max_stages=100).documents is not None, seed


@pytest.mark.full
def test_thousands_of_changed_files_are_answered() -> None:
    for seed in range(MUTATIONS, 100 * MUTATIONS):
        assert dvc_parsing.check(MemoryTree(mutated(seed)), max_stages=100).documents is not None, seed


@pytest.mark.parametrize("body", WHOLE)
@pytest.mark.parametrize("name", SAMPLE)
def test_replaced_files_are_answered(name: str, body: bytes) -> None:
    assert dvc_parsing.check(MemoryTree({**SAMPLE, name: body}), max_stages=100).documents is not None
