"""refmill.yaml beside a dvc.yaml: unknown stages, images without engine, files that are not there."""

from __future__ import annotations

import pytest

from refmill.clients import dvc_parsing
from refmill.clients.resolver.warming import MemoryTree
from refmill.model.placement import Allowed
from refmill.ports.resolver import Checked

PROJECT = "stages:\n  train: {foreach: [a, b], do: {cmd: x}}\n  faulty: {}\n"
HEAD = "apiVersion: refmill/v1\nkind: Pipeline\nmetadata: {name: x}\nspec:\n"


def check(
    spec: str, *, containers: bool = False, head: str = HEAD, allowed: Allowed | None = None, **files: str
) -> Checked:
    everything = {"dvc.yaml": PROJECT, "refmill.yaml": head + spec, **files}
    tree = MemoryTree({path: body.encode() for path, body in everything.items()})
    return dvc_parsing.check(tree, max_stages=50, containers=containers, allowed=allowed)


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


PLACES = """\
  nodeSelector: {pool: big}
  stages:
    train:
      tolerations:
      - {key: spot, operator: Exists}
      - {key: gpu, value: true, effect: NoSchedule}
      priorityClass: high
"""


def test_what_the_operator_does_not_allow_is_refused_where_it_stands() -> None:
    found = check(PLACES, allowed=Allowed())
    assert told(found) == [
        "refmill.yaml:5:24 not-allowed", "refmill.yaml:9:9 not-allowed", "refmill.yaml:10:9 not-allowed",
        "refmill.yaml:11:22 not-allowed",
    ]  # fmt: skip
    problem = next(item for item in found.errors if item.kind == "not-allowed")
    assert "`argo_nodes`" in str(problem.remedy)


def test_what_the_operator_allows_is_right() -> None:
    allowed = Allowed(nodes=("pool=*",), taints=("spot", "gpu=true:NoSchedule"), priority_classes=("h*gh",))
    assert told(check(PLACES, allowed=allowed)) == []


def test_what_is_allowed_instead_is_told() -> None:
    found = check("  nodeSelector: {pool: big}\n", allowed=Allowed(nodes=("pool=small", "gpu=*")))
    problem = next(item for item in found.errors if item.kind == "not-allowed")
    assert str(problem.remedy) == "Allowed here: pool=small, gpu=*."


def test_a_glob_allows_what_it_says_and_no_more() -> None:
    found = check(
        "  nodeSelector: {pool: bigger, a.b/pool: big, poolx: big}\n",
        allowed=Allowed(nodes=("pool=b.gger", "pool=big", "a*c/*")),
    )
    assert len([item for item in found.errors if item.kind == "not-allowed"]) == 3


def test_where_nobody_knows_what_is_allowed_nothing_is_refused() -> None:
    assert told(check(PLACES)) == []


def test_an_image_without_a_shell_is_refused_where_containers_run() -> None:
    allowed = Allowed(without_shell=("scratch",))
    assert told(check("  image: scratch\n", containers=True, allowed=allowed)) == [
        "refmill.yaml:5:10 image-without-shell"
    ]
    problem = check("  image: scratch\n", containers=True, allowed=allowed).errors[-1]
    assert str(problem.message) == "“scratch” has no /bin/sh: no command can run in it"
