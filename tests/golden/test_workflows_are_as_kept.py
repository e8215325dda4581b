"""What the real planner and the templates make of some twenty projects, kept as files, and taken by Argo.

`REFMILL_GOLDEN=write` writes the files anew; what changed in them is then read in the diff.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from golden_projects import PROJECTS, Given
from hera.workflows import models

import argo_programs
from refmill.model.plans import Plan
from refmill.settings import Settings
from refmill_argo.comments import comments
from refmill_argo.compiling import Bundle, compile_run
from refmill_argo.writing import writer
from refmill_web import local
from refmill_web.cli.project import planned
from refmill_web.cli.render import order
from structural import faults

KEPT = Path(__file__).parent / "workflows"


@dataclass(frozen=True)
class Made:
    """What a project comes to."""

    plan: Plan
    bundle: Bundle
    text: str

    @property
    def documents(self) -> list[dict[str, Any]]:
        """Its Workflows."""
        return list(yaml.safe_load_all(self.text))


def lay(folder: Path, given: Given) -> Path:
    """The working copy."""
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    (folder / ".dvc").mkdir()
    for name, content in given.all_files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    for target in given.before:
        dvc = str(Path(sys.executable).with_name("dvc"))
        subprocess.run([dvc, "repro", "-q", target], cwd=folder, check=True, capture_output=True)
    for name, content in given.changed.items():
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def make(folder: Path, given: Given) -> Made:
    project, documents = local.open_for_cluster(folder, None, given.options.allowed)
    plan = planned(project)
    write = writer(project.tree, given.options)
    bundle = compile_run(order(project, documents, plan, Settings()), given.options, write)
    return Made(plan, bundle, comments(plan, bundle.pods, str) + "---\n".join(bundle.workflows.values()))


@pytest.fixture(scope="module", params=PROJECTS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def made(name: str, tmp_path_factory: pytest.TempPathFactory) -> Made:
    given = PROJECTS[name]
    return make(lay(tmp_path_factory.mktemp("golden") / name, given), given)


def test_the_workflow_is_the_kept_one(name: str, made: Made) -> None:
    file = KEPT / f"{name}.yaml"
    if os.environ.get("REFMILL_GOLDEN") == "write":
        file.write_text(made.text, encoding="utf-8")
    assert made.text == file.read_text(encoding="utf-8")


def test_every_kept_file_is_of_a_project() -> None:
    assert {file.stem for file in KEPT.iterdir()} == set(PROJECTS)


def test_types_and_keys_are_those_of_argo(made: Made) -> None:
    """The models drop what they do not know, so that it is missed in what they give back."""
    for document in made.documents:
        read = models.Workflow.model_validate(document)
        assert read.model_dump(mode="json", by_alias=True, exclude_unset=True) == document


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    crd = yaml.load(argo_programs.crd("workflows").read_bytes(), Loader=yaml.CSafeLoader)
    found: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def test_the_full_crd_takes_it(made: Made, schema: dict[str, Any]) -> None:
    for document in made.documents:
        assert list(faults(document, schema)) == []


def test_argo_lint_takes_it(made: Made, tmp_path: Path) -> None:
    argo = argo_programs.program("argo")
    if not made.bundle.workflows:
        return  # it would say that there is nothing
    file = tmp_path / "workflow.yaml"
    file.write_text(made.text, encoding="utf-8")
    done = subprocess.run([argo, "lint", "--offline", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_same_files_give_the_same_bytes(name: str, made: Made, tmp_path: Path) -> None:
    assert make(lay(tmp_path / name, PROJECTS[name]), PROJECTS[name]).text == made.text
