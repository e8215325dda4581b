"""All of it together: a fresh release of the chart, the demo's two repositories pushed to it as `refmill demo` pushes
them, their stages in pods with the packages that they need, and the page of a run in a browser while a pod works."""

import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from clusters import OnCluster, Silent, served
from playwright.sync_api import Page
from releases import Installed, release_in

from cluster import wheels
from cluster.places import places
from platforms import REFMILL
from refmill_web.demo import story

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]
USER, REPOSITORY = "operator", f"operator/{story.PIPELINE}"
REQUIREMENTS = story.HERE / "pipeline" / "requirements.txt"
STAGES = {"prepare", *(f"train@{name}" for name in ("forest", "boosting", "neighbours", "logistic")), "evaluate"}
LIVE = """([words]) => {
    const panel = document.querySelector('#panel[data-stage="train@forest"][data-status="running"]');
    return panel !== null && panel.querySelector("#log").textContent.includes(words);
}"""
"""That the log of the stage shows these words while it runs, in one look."""


class Files(Silent, http.server.SimpleHTTPRequestHandler):
    """A folder's files."""


@dataclass(frozen=True)
class Demo:
    """The demo in a release: `stage` is where its working copies lie, `first` its first run; `programs` are those of a
    Python with its packages."""

    installed: Installed
    stage: story.Stage
    first: dict[str, Any]
    programs: Path

    @property
    def copy(self) -> Path:
        """The working copy of the pipeline."""
        return self.stage.place / story.PIPELINE

    def change(self, name: str, old: object, new: object) -> str:
        """Push another value of a parameter; gives the commit."""
        params = self.copy / "params.yaml"
        told = params.read_text()
        assert f"{name}: {old}\n" in told
        params.write_text(told.replace(f"{name}: {old}\n", f"{name}: {new}\n"))
        self.stage.run("git", "commit", "--quiet", "--all", "--message", f"{name}: {new}", at=story.PIPELINE)
        self.stage.run("git", "push", "--quiet", "origin", "main", at=story.PIPELINE)
        return self.stage.run("git", "rev-parse", "HEAD", at=story.PIPELINE).strip()

    def begun(self, commit: str) -> dict[str, Any]:
        """The commit's run, as soon as there is one."""
        return self.installed.newest(REPOSITORY, commit)

    def ended(self, commit: str) -> dict[str, Any]:
        """The commit's run, which goes well."""
        run = self.installed.newest(REPOSITORY, commit, over=True, seconds=600)
        assert run["status"] == "succeeded", (self.shown(run), self.installed.story())
        return run

    def shown(self, run: dict[str, Any]) -> dict[str, Any]:
        """All that is said of a run."""
        found: dict[str, Any] = json.loads(self.installed.refmill("show", f"{REPOSITORY}#{run['number']}", "--json"))
        return found

    def states(self, run: dict[str, Any]) -> dict[str, str]:
        """How each stage ended."""
        return {stage["name"]: stage["status"] for stage in self.shown(run)["stages"]}

    def lock(self, run: dict[str, Any]) -> str:
        """The lock file in the run's result."""
        found = self.stage.run("git", "ls-remote", "origin", f"refs/exps/*/run-{run['number']}", at=story.PIPELINE)
        (ref,) = (line.split()[1] for line in found.splitlines())
        self.stage.run("git", "fetch", "--quiet", "origin", ref, at=story.PIPELINE)
        return self.stage.run("git", "show", "FETCH_HEAD:dvc.lock", at=story.PIPELINE)

    def lock_of_the_local_engine(self, place: Path) -> str:
        """What `refmill run` makes of the same commit, in a copy that has no results."""
        shutil.copytree(self.copy, place)
        env = dict(self.stage.environment())
        env["PATH"] = f"{self.programs}{os.pathsep}{env['PATH']}"
        done = subprocess.run(
            [REFMILL, "run"], cwd=place, env=env, capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return (place / "dvc.lock").read_text()


@pytest.fixture(scope="module")
def demo(
    workflows: OnCluster, namespace_of_module: str, platform_images: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Demo]:  # fmt: skip
    """A fresh release and the demo's first run on it."""
    folder = tmp_path_factory.mktemp("demo")
    with release_in(workflows, namespace_of_module, platform_images, folder / "volume") as installed:
        wanted = {_version(installed, platform_images["runner"]), "{}.{}".format(*sys.version_info)}
        packages = wheels.folder(places().cache, REQUIREMENTS, wanted, print)
        files: Any = functools.partial(Files, directory=str(packages))
        with served(files, workflows.here) as address:
            index = f"{address}/"
            installed.install(argo_index=index)
            token = installed.refmill("token", "add", USER).strip()
            with installed.forwarded() as url:
                stage = story.Stage(url, USER, token, folder / "copies", print)
                python = _python(folder / "python", index)
                story.push_dataset(stage, python)
                story.push_pipeline(stage)
                made = Demo(installed, stage, {}, python.parent)
                commit = stage.run("git", "rev-parse", "HEAD", at=story.PIPELINE).strip()
                yield Demo(installed, stage, made.ended(commit), python.parent)


def _version(installed: Installed, image: str) -> str:
    """Of the Python in an image."""
    cluster, namespace = installed.cluster, installed.namespace
    confined = {
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    script = 'python3 -c "import sys; print(*sys.version_info[:2], sep=chr(46))"'
    cluster.run(namespace, "version", script, image, container={"securityContext": confined})
    cluster.finished(namespace, "version")
    return cluster.logs(namespace, "version").strip()


def _python(place: Path, index: str) -> Path:
    """A Python with the demo's packages, which makes its table."""
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, place], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", place / "bin" / "python", "-r", REQUIREMENTS]
    subprocess.run([*install, "--default-index", index], check=True)
    return place / "bin" / "python"


def test_the_demo_runs_in_pods_and_comes_to_what_the_local_engine_makes_of_it(demo: Demo, tmp_path: Path) -> None:
    assert demo.states(demo.first) == dict.fromkeys(STAGES, "succeeded")
    assert demo.installed.pods_of(demo.first) == ["Succeeded"] * len(
        STAGES
    )  # none may share a pod: they fan out and in

    run = demo.ended(demo.change("rounds", 120, 110))
    again = {"train@boosting", "evaluate"}
    assert demo.states(run) == {stage: "succeeded" if stage in again else "cached" for stage in STAGES}
    assert demo.installed.pods_of(run) == ["Succeeded"]  # the two are a chain now, which shares a pod
    lock = demo.lock(run)
    assert yaml.safe_load(lock)["stages"].keys() == STAGES
    assert lock == demo.lock_of_the_local_engine(tmp_path / "beside")


def test_the_log_of_a_pod_is_seen_on_the_runs_page_while_its_stage_runs(demo: Demo, page: Page, tmp_path: Path) -> None:
    commit = demo.change("trees", 200, 4000)
    number = demo.begun(commit)["number"]
    page.goto(f"{demo.stage.address}/{REPOSITORY}/runs/{number}?stage=train%40forest")
    page.fill("#name", USER)
    page.fill("#password", demo.installed.password)
    page.press("#password", "Enter")
    page.wait_for_url(re.compile(r"/runs/\d+\?stage="))
    page.wait_for_function(LIVE, arg=["forest: {'trees': 4000"], timeout=180_000)
    for scheme in ("light", "dark"):
        for width in (1280, 390):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (width, scheme)
            page.screenshot(path=tmp_path / f"running-{scheme}-{width}.png", full_page=True)
    assert page.evaluate(LIVE, ["forest: {'trees': 4000"])  # the pictures are of a stage that runs
    demo.ended(commit)
    page.locator("#run-state .state.succeeded").wait_for(timeout=60_000)
    page.locator(".log", has_text="fitted on all").wait_for()
    page.screenshot(path=tmp_path / "ended.png", full_page=True)
