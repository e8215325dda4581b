"""Projects of the conformance suite, pushed to the cluster and to the local engine: the same bytes come back."""

from pathlib import Path

import pytest
from archive import Project, parse, projects
from clusters import OnCluster
from pushing import FIT, HERE, SPEC, Pushed, assert_alike, push

from cluster import images
from platforms import Copy, Platform, new_copy

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]
CHOSEN = (
    "always-changed", "cache-false", "directories-mixed", "dvcignore", "foreach-dict", "matrix", "metrics-and-plots",
    "params-formats", "persist", "wdir",
)  # fmt: skip
OURS = """\
Stages in an image without Python beside some in one with it, and a chain of three that shares a pod.
-- in.txt --
c
a
b
-- params.yaml --
words: {first: one, second: two words}
-- dvc.yaml --
stages:
  plain:
    cmd:
      - mkdir -p sorted/deep && sort in.txt > sorted/deep/in.txt
      - echo '${words.first}' "${words.second}" > sorted/words.txt && printf '#!/bin/sh\\n' > tool.sh && chmod +x tool.sh
    deps: [in.txt]
    params: [words]
    outs: [sorted, tool.sh]
  below: {wdir: sub, cmd: cat ../sorted/deep/in.txt | tr -d '\\n' > line.txt, deps: [../sorted], outs: [line.txt]}
  one: {cmd: cp in.txt one.txt && echo first, deps: [in.txt], outs: [one.txt]}
  two: {cmd: cat one.txt one.txt > two.txt, deps: [one.txt], outs: [two.txt]}
  three: {cmd: wc -l < two.txt > three.json, deps: [two.txt], metrics: [three.json: {cache: false}]}
"""
PLAIN = f"{{image: '{images.BUSYBOX}', python: false}}"
SPECS = {"plain": f"  stages:\n    plain: {PLAIN}\n    below: {PLAIN}\n"}
ALL = [project for project in projects() if project.name in CHOSEN] + [parse("plain", OURS)]
Pairs = dict[str, tuple[Pushed, Pushed]]


def laid(path: Path, project: Project, spec: str) -> Copy:
    """The project in a working copy with one commit."""
    assert not project.do, "nothing but files"
    copy = new_copy(path, {})
    for name, file in project.files.items():
        file.write(copy.path / name)
    copy.write({FIT: spec})
    copy.commit(project.name)
    return copy


@pytest.fixture(scope="module")
def pairs(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    """All of them pushed to both, and over."""
    folder = tmp_path_factory.mktemp("projects")
    found: Pairs = {}
    for project in ALL:
        here = laid(folder / f"{project.name}-here", project, HERE)
        there = laid(folder / project.name, project, SPEC + SPECS.get(project.name, "  priority: 0\n"))
        found[project.name] = (push(platform, project.name, there), push(platform, f"{project.name}-here", here))
    for there, here in found.values():
        here.ended()
        there.ended(seconds=600)
    return found


@pytest.mark.parametrize("project", ALL, ids=str)
def test_a_project_comes_to_the_same_bytes_on_the_cluster_as_by_the_local_engine(project: Project, pairs: Pairs):
    assert_alike(*pairs[project.name])


def test_images_without_python_and_chains_have_the_pods_that_they_should(
    pairs: Pairs, workflows: OnCluster, namespace_of_all: str, platform: Platform
):
    there = pairs["plain"][0]
    workflow = workflows.kubectl.data("get", "workflows.argoproj.io", f"rf-{there.run}", "-n", namespace_of_all)
    nodes = [node for node in workflow["status"]["nodes"].values() if node["type"] == "Pod"]
    assert len(nodes) == 3, "one for each of the plain ones, and one for the chain"
    kept = [template for template in workflow["spec"]["templates"] if "containerSet" in template]
    assert [[each["name"] for each in template["containerSet"]["containers"]] for template in kept] == [
        ["fetch", "main", "store"]
    ]
    assert "first" in platform.refmill("logs", f"{there.repository}#1", "one").split()
    assert "sort in.txt" in platform.refmill("logs", f"{there.repository}#1", "plain")
