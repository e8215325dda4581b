"""A project run by the real `dvc repro`, against which our formats are held."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

DVC_YAML = """\
stages:
  prepare:
    cmd: mkdir -p out/sub/deep "out/ä b" && cp raw/a.txt out/b && cp raw/a.txt out/sub/deep/x
      && cp raw/b.txt out/sub.txt && cp raw/b.txt "out/ä b/ü"
      && true a comment of some length that makes this line much longer than eighty columns
    deps: [raw, tool.sh]
    params: [train, top.1, "123", name]
    outs: [out]
  train:
    cmd:
      - ./tool.sh model
      - 'echo "{\\"acc\\": 0.5, \\"note\\": 1}" > metrics.json'
      - 'printf "x,y\\n1,2\\n" > curve.csv'
    deps: [out/sub, tool.sh]
    params:
      - train.lr
      - other.toml: [a.b, when]
      - conf.json: []
    outs:
      - model
      - logs/run.txt:
          cache: false
    metrics:
      - metrics.json:
          cache: false
    plots: [curve.csv]
  score:
    cmd: cp out/b score.json
    deps: [out/b]
    metrics:
      - score.json:
          cache: false
  inner:
    wdir: work
    cmd: mkdir -p ../results && cat ../model > ../results/[odd].txt && touch empty && chmod +x empty
    deps: [../model]
    params:
      - ../params.yaml: [train]
    outs: ["../results/[odd].txt", empty]
  lines:
    cmd: |
      echo one > lines.txt
      echo "two: #" >> lines.txt
    deps: [raw/a.txt]
    outs: [lines.txt]
  keep:
    cmd: echo more >> kept.txt
    deps: [raw/b.txt]
    outs:
      - kept.txt:
          persist: true
  known:
    cmd: echo hidden > ignored/file
    deps: [raw/b.txt]
    outs: [ignored/file]
  alone:
    cmd: echo alone > alone.txt
    outs: [alone.txt]
"""

FILES = {
    "dvc.yaml": DVC_YAML,
    "params.yaml": "train:\n  lr: 1e-3\n  layers: [1, 2.50, yes, null, '']\n  opts: {}\n"
    "top: [10, 0x20]\n123: 'no'\nname: 'a: b'\n",
    "other.toml": '[a]\nb = [1, 2.5]\n\n[when]\nx = "y"\n',
    "conf.json": '{"z": 1, "a": {"size": 3, "k": [true, null, 1.0]}}',
    "raw/a.txt": "a\r\n",
    "raw/b.txt": "b\n",
    "raw/.hidden/c": "",
    "tool.sh": '#!/bin/sh\necho made > "$1"\nchmod +x "$1"\nmkdir -p logs && echo log > logs/run.txt\n',
    ".gitignore": "ignored/\n# the end",
    "work/.gitkeep": "",
    "ignored/.keep": "",
}


@dataclass(frozen=True)
class Project:
    """A folder after `dvc repro`, and its .gitignore files from before."""

    root: Path
    before: Mapping[str, bytes]

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def dvc(self, *arguments: str) -> str:
        return run_dvc(self.root, *arguments)


def run_dvc(root: Path, *arguments: str) -> str:
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(root.parent / "site")}
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def make_project(root: Path, files: Mapping[str, str]) -> None:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content, newline="")
    if (root / "tool.sh").exists():
        (root / "tool.sh").chmod(0o755)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    run_dvc(root, "init", "-q")
    run_dvc(root, "config", "core.check_update", "false")


@pytest.fixture(scope="session")
def dvc() -> Callable[..., str]:
    """Runs the real dvc in a folder and gives what it said."""
    return run_dvc


@pytest.fixture(scope="session")
def new_project() -> Callable[..., None]:
    """Makes a folder with files a git repository and a DVC project."""
    return make_project


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("oracle") / "project"
    make_project(root, FILES)
    before = {".gitignore": (root / ".gitignore").read_bytes()}
    run_dvc(root, "repro")
    return Project(root, before)


@pytest.fixture
def project_copy(project: Project, tmp_path: Path) -> Project:
    shutil.copytree(project.root, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project", project.before)
