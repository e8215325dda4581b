"""A project's own template of Workflows, really pushed: taken when it is harmless, refused when it is not."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from platforms import Copy, Platform, wait

TEMPLATE = ".refmill/templates/workflow.yaml.j2"
EXTENDS = '[% extends "refmill/workflow.yaml.j2" %]\n'
GOOD = EXTENDS + '[% block labels %][[ dict(labels, team="vision") ]][% endblock %]\n'
ROOT = EXTENDS + "[% block sidecars %]\n    securityContext: {runAsUser: 0}\n[% endblock %]\n"
OTHER = EXTENDS + "[% block volumes %]\n    - {name: s, secret: {secretName: rf-of-somebody-else}}\n[% endblock %]\n"
STAGE = "stages:\n  train: {cmd: cat in.txt > out.txt, deps: [in.txt], outs: [out.txt]}\n"
FILES = {"dvc.yaml": STAGE, "in.txt": "1\n", TEMPLATE: GOOD}


@pytest.fixture
def copy(project: Callable[[dict[str, str]], Copy], platform: Platform, name: str) -> Copy:
    """A project with a template that only adds a label, pushed."""
    made = project(FILES)
    made.git("remote", "add", "origin", platform.url(f"alice/{name}", "alice"))
    made.git("push", "--quiet", "origin", "main")
    return made


def refused(copy: Copy, files: dict[str, str]) -> str:
    """What git says to a push of these files that is refused."""
    copy.write(files).commit()
    done: subprocess.CompletedProcess[str] = copy.git("push", "origin", "main", check=False)
    assert done.returncode == 1, done.stderr
    return done.stderr


def tip(copy: Copy) -> str:
    return copy.git("ls-remote", "origin", "refs/heads/main").stdout.split()[0]


def test_a_harmless_template_is_taken_and_the_local_engine_runs_the_project(
    platform: Platform, name: str, copy: Copy
) -> None:
    assert platform.ended(f"alice/{name}", 1)["status"] == "succeeded"


def test_a_template_alone_that_asks_for_too_much_is_refused(platform: Platform, name: str, copy: Copy) -> None:
    """Nothing but the template changed; what is refused moves no branch, and the next good push goes through."""
    before = tip(copy)
    said = refused(copy, {TEMPLATE: ROOT})
    assert f"{TEMPLATE}:3:5: a template may not add `spec.templates[t1].securityContext`" in said
    assert "securityContext: {runAsUser: 0}" in said
    said = refused(copy, {TEMPLATE: OTHER})
    assert f"{TEMPLATE}:3:5: the volume `s` is no empty folder with an end" in said
    said = refused(copy, {TEMPLATE: EXTENDS + "[% block labels %][[ ''.__class__.__mro__ ]][% endblock %]"})
    assert f"{TEMPLATE}:2:1: The template cannot be filled in: access to attribute '__class__'" in said
    assert tip(copy) == before
    copy.write({TEMPLATE: GOOD, "in.txt": "2\n"}).commit()
    copy.git("push", "--quiet", "origin", "main")
    assert platform.ended(f"alice/{name}", 2)["status"] == "succeeded"


def test_an_included_file_alone_is_looked_at_too(copy: Copy) -> None:
    including = EXTENDS + '[% block volumes %][% include "more.yaml" %][% endblock %]\n'
    copy.write({TEMPLATE: including, ".refmill/templates/more.yaml": "\n    - {name: s, emptyDir: {sizeLimit: 1Gi}}\n"})
    copy.commit()
    copy.git("push", "--quiet", "origin", "main")
    said = refused(copy, {".refmill/templates/more.yaml": "\n    - {name: s, hostPath: {path: /}}\n"})
    assert ".refmill/templates/more.yaml:2:5: the volume `s` is no empty folder with an end" in said


def test_a_project_in_a_directory_has_templates_of_its_own(copy: Copy) -> None:
    copy.write({"sub/dvc.yaml": STAGE, "sub/in.txt": "1\n"})
    Copy(copy.path / "sub").dvc("init", "--quiet", "--subdir")
    said = refused(copy, {f"sub/{TEMPLATE}": ROOT})
    assert f"sub/{TEMPLATE}:3:5: a template may not add" in said


def test_what_is_let_in_all_the_same_starts_nothing(platform: Platform, name: str, copy: Copy) -> None:
    platform.ended(f"alice/{name}", 1)
    sha = copy.write({TEMPLATE: ROOT, "in.txt": "3\n"}).commit()
    done = copy.git("push", "-o", "refmill.validate=warn", "origin", "main")
    assert "a template may not add" in done.stderr
    wait(lambda: platform.query("SELECT 1 FROM events WHERE new = ? AND state = 'handled'", sha))
    assert len(platform.runs(f"alice/{name}")) == 1
