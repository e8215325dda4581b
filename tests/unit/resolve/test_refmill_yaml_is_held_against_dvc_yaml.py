"""refmill.yaml beside a dvc.yaml: unknown stages, images without engine, files that are not there."""

from __future__ import annotations

import pytest

from refmill.clients import dvc_parsing
from refmill.clients.resolver.warming import MemoryTree
from refmill.ports.resolver import Checked

PROJECT = "stages:\n  train: {foreach: [a, b], do: {cmd: x}}\n  faulty: {}\n"
HEAD = "apiVersion: refmill/v1\nkind: Pipeline\nmetadata: {name: x}\nspec:\n"


def check(spec: str, *, containers: bool = False, head: str = HEAD, **files: str) -> Checked:
    everything = {"dvc.yaml": PROJECT, "refmill.yaml": head + spec, **files}
    tree = MemoryTree({path: body.encode() for path, body in everything.items()})
    return dvc_parsing.check(tree, max_stages=50, containers=containers)


def told(found: Checked) -> list[str]:
    return [f"{problem.place} {problem.kind}" for problem in found.problems if problem.place.file == "refmill.yaml"]


@pytest.mark.parametrize("name", ["train", "train@a", "'dvc.yaml:train'", "'dvc.yaml:train@b'", "faulty"])
def test_a_stage_can_be_named_in_every_way(name: str) -> None:
    assert told(check(f"  stages: {{{name}: {{retries: 1}}}}\n")) == []


@pytest.mark.parametrize("name", ["trian", "train@c", "sub/dvc.yaml:train"])
def test_a_stage_that_is_not_there_is_told(name: str) -> None:
    assert told(check(f"  stages:\n    '{name}': {{retries: 1}}\n")) == ["refmill.yaml:6:5 unknown-stage"]


def test_a_similar_stage_is_suggested() -> None:
    problem = next(item for item in check("  stages: {trian: {}}\n").problems if item.kind == "unknown-stage")
    assert str(problem.remedy) == "Did you mean “train”?"


def test_an_image_without_requirements_is_refused() -> None:
    found = check("  image: python:3.12\n")
    assert told(found) == ["refmill.yaml:5:10 image-without-requirements"]
    assert any(problem.kind == "image-without-requirements" for problem in found.errors)


def test_an_image_with_requirements_is_a_warning() -> None:
    for spec, files in (("", {"requirements.txt": ""}), ("  requirements: req/own.txt\n", {"req/own.txt": ""})):
        found = check(f"  stages:\n    train@a: {{image: python}}\n{spec}", **files)
        assert told(found) == ["refmill.yaml:6:22 image-not-used"]
        assert not [problem for problem in found.errors if problem.place.file == "refmill.yaml"]


def test_an_image_is_right_where_containers_run() -> None:
    assert told(check("  image: python:3.12\n", containers=True)) == []


def test_requirements_that_are_not_there_are_told() -> None:
    assert told(check("  requirements: lost.txt\n")) == ["refmill.yaml:5:17 missing-file"]


def test_what_nothing_carries_out_yet_is_told_by_name() -> None:
    assert told(check("  on: {schedule: '0 3 * * *'}\n")) == ["refmill.yaml:5:8 unsupported"]


def test_faults_in_later_documents_have_their_own_lines() -> None:
    spec = "  priority: 1\n---\napiVersion: refmill/v1\nkind: Dataset\nmetadata: {name: UPPER}\n---\nkind: Pipelin\n"
    assert told(check(spec)) == ["refmill.yaml:9:18 bad-value", "refmill.yaml:11:7 unknown-kind"]


def test_documents_are_given_although_others_are_faulty() -> None:
    found = check("  priority: 7\n---\nkind: Pipelin\n")
    assert found.documents.pipeline.priority == 7
