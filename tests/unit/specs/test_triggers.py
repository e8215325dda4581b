"""Which pushes start a run: `on:` of refmill.yaml."""

from __future__ import annotations

from typing import Any

import pytest

from refmill.specs import Documents, PipelineSpec, Triggers, wants
from refmill.specs.triggers import glob_matches


def on(**keys: Any) -> Documents:
    return Documents(PipelineSpec(on=Triggers(**keys)))


@pytest.mark.parametrize(
    ("glob", "name", "matches"),
    [
        ("main", "main", True), ("main", "main2", False), ("*", "a", True), ("*", "a/b", False), ("*", "", True),
        ("**", "a/b/c", True), ("release/*", "release/1.0", True), ("release/*", "release/1/2", False),
        ("**/x", "x", True), ("**/x", "a/b/x", True), ("**/x", "abx", False), ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True), ("a/**/b", "ab", False), ("docs/**", "docs/a/b", True), ("docs/**", "docs", False),
        ("a?c", "abc", True), ("a?c", "a/c", False), ("*.md", "x.md", True), ("**/*.md", "deep/x.md", True),
        ("a**z", "a/b/z", True), ("[ab]", "a", False), ("v*.*", "v1.2", True), ("*a*a*", "bab", False),
    ],
)  # fmt: skip
def test_globs(glob: str, name: str, matches: bool) -> None:
    assert glob_matches(glob, name) is matches


def test_a_hostile_glob_is_answered() -> None:
    # A matcher that backtracks takes years over it: that there is an answer is the point.
    assert not glob_matches("*a" * 100, "a" * 5000 + "b")


def test_by_default_every_branch_and_no_tag_starts_a_run() -> None:
    assert wants(Documents(), "refs/heads/any/thing")
    assert not wants(Documents(), "refs/tags/v1")
    assert not wants(Documents(), "refs/exps/aa/bb/run")


def test_the_last_glob_that_matches_decides() -> None:
    documents = on(branches=("**", "!dev/**", "dev/keep"))
    assert wants(documents, "refs/heads/main")
    assert not wants(documents, "refs/heads/dev/x")
    assert wants(documents, "refs/heads/dev/keep")


def test_tags_can_start_runs() -> None:
    documents = on(branches=(), tags=("v*",))
    assert wants(documents, "refs/tags/v1")
    assert not wants(documents, "refs/heads/v1")


@pytest.mark.parametrize(
    ("changed", "starts"),
    [
        (["docs/a.md"], False),
        (["README.md", "docs/x"], False),
        (["docs/a.md", "src.py"], True),
        ([], True),
        (None, True),
    ],
)
def test_changes_that_are_skipped_start_nothing(changed: list[str] | None, starts: bool) -> None:
    assert wants(on(skip=("docs/**", "*.md")), "refs/heads/main", changed) is starts
