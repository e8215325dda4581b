"""Projects with a template of their own, really pushed to a real cluster: their pods have what the template adds."""

from pathlib import Path

import pytest
from clusters import OnCluster
from pushing import FIT, SPEC, Attempted, push_new

from cluster import images
from platforms import Platform

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
TEMPLATE = ".refmill/templates/workflow.yaml.j2"
OWN = """\
[% extends "refmill/workflow.yaml.j2" %]
[% block labels %][[ dict(labels, team="vision") ]][% endblock %]
[% block volumes %]
    - {name: scratch, emptyDir: {sizeLimit: 64Mi}}
[% endblock %]
[% block mounts %][[ mounts + [runner_mount, {"name": "scratch", "mountPath": "/scratch"}] ]][% endblock %]
[% block mounts_without_python %][[ mounts + [{"name": "scratch", "mountPath": "/scratch"}] ]][% endblock %]
"""
PLAIN = f"{{image: '{images.BUSYBOX}', python: false}}"


@pytest.mark.ci
def test_a_folder_of_the_projects_template_is_there_in_images_with_python_and_without(
    platform: Platform, tmp_path: Path, workflows: OnCluster, namespace_of_all: str
):
    writes = (
        "sort in.txt > /scratch/sorted && uniq /scratch/sorted > {} && echo mounts $(grep -c ' /scratch ' /proc/mounts)"
    )
    pushed = push_new(platform, "template", tmp_path, {
        "dvc.yaml": f"stages:\n  full: {{cmd: \"{writes.format('full.txt')}\", deps: [in.txt], outs: [full.txt]}}\n"
        f"  plain: {{cmd: \"{writes.format('plain.txt')}\", deps: [in.txt, full.txt], outs: [plain.txt]}}\n",
        "in.txt": "b\na\nb\n",
        TEMPLATE: OWN,
        FIT: SPEC + f"  stages:\n    plain: {PLAIN}\n",
    })  # fmt: skip
    pushed.ended()
    assert pushed.engine == "argo"
    assert pushed.attempts() == [Attempted("full", 1, "succeeded"), Attempted("plain", 1, "succeeded")]
    for stage in ("full", "plain"):
        assert "mounts 1" in platform.refmill("logs", "alice/template#1", stage)
    workflow = workflows.kubectl.data("get", "workflows.argoproj.io", f"rf-{pushed.run}", "-n", namespace_of_all)
    assert workflow["metadata"]["labels"]["team"] == "vision"
    assert workflow["metadata"]["labels"]["refmill.dev/run"] == pushed.run


def test_a_folder_of_the_template_that_is_full_is_named(platform: Platform, tmp_path: Path):
    pushed = push_new(platform, "scratch", tmp_path, {
        "dvc.yaml": f"stages:\n  much: {{cmd: 'head -c {96 << 20} /dev/zero > /scratch/much; sleep 600', outs: [much.txt]}}\n",
        TEMPLATE: OWN,
    })  # fmt: skip
    pushed.ended("failed")
    assert pushed.attempts() == [
        Attempted(
            "much", 1, "failed",
            "its folder “scratch” took more than 64Mi and it was ended: write less, or raise the folder's sizeLimit",
        )
    ]  # fmt: skip
