"""`refmill init`: the files that a new pipeline or dataset begins with. Nothing that is there is overwritten."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from refmill import errors
from refmill.texts import text
from refmill_web.cli.options import example
from refmill_web.cli.speech import echo, say, tell

PIPELINE: Mapping[str, str] = {
    "dvc.yaml": """\
stages:
  train:
    cmd: python src/train.py data/table.csv models/model.json metrics.json
    deps:
      - data/table.csv
      - src/train.py
    params:
      - train
    outs:
      - models/model.json
    metrics:
      - metrics.json:
          cache: false
""",
    "params.yaml": """\
train:
  rounds: 20
""",
    "data/table.csv": "x,y\n1,2.1\n2,3.9\n3,6.2\n4,7.8\n5,10.1\n",
    "src/train.py": '''\
"""Fit a line through a table: replace this with your own training."""

import csv
import json
import re
import sys
from pathlib import Path

table, model, metrics = map(Path, sys.argv[1:4])
rounds = int(re.search(r"rounds: *(\\d+)", Path("params.yaml").read_text()).group(1))
with table.open() as file:
    rows = [(float(row["x"]), float(row["y"])) for row in csv.DictReader(file)]
slope = intercept = 0.0
for number in range(rounds):
    errors = [slope * x + intercept - y for x, y in rows]
    slope -= 0.05 * sum(error * x for error, (x, _) in zip(errors, rows)) / len(rows)
    intercept -= 0.05 * sum(errors) / len(rows)
    print(f"round {number + 1}/{rounds}: squared error {sum(error**2 for error in errors) / len(rows):.4f}")
model.parent.mkdir(exist_ok=True)
model.write_text(json.dumps({"slope": slope, "intercept": intercept}))
metrics.write_text(json.dumps({"squared_error": sum(error**2 for error in errors) / len(rows)}) + "\\n")
''',
    "requirements.txt": "",
    "refmill.yaml": """\
apiVersion: refmill/v1
kind: Pipeline
metadata:
  name: {name}
spec:
  resources:
    cpu: 1
    memory: 1Gi
""",
    ".gitignore": "__pycache__/\n.venv/\n",
}
DATASET: Mapping[str, str] = {
    "README.md": "# {name}\n\nWhat is in it, where it comes from, what may be done with it.\n\n"
    "    dvc add FILE    # track a file or a directory\n"
    "    git add --all && git commit -m 'Add FILE'\n"
    "    git push && dvc push\n",
    "refmill.yaml": "apiVersion: refmill/v1\nkind: Dataset\nmetadata:\n  name: {name}\n",
}
TEMPLATES = {"pipeline": PIPELINE, "dataset": DATASET}


@click.command(
    **example(
        text("Start a pipeline or a dataset in this directory: git, DVC and first files."),
        "refmill init pipeline --url http://localhost:8700/alice/churn",
    )
)
@click.argument("kind", type=click.Choice(sorted(TEMPLATES)))
@click.argument("path", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option(
    "--url", help=say(text("The repository's address on a Refmill server: sets up `origin` and the DVC remote."))
)
def init(*, kind: str, path: Path, url: str | None) -> None:
    """Write what is not there yet."""
    path.mkdir(parents=True, exist_ok=True)
    if (path / "dvc.yaml").exists() or (path / "refmill.yaml").exists():
        raise errors.Conflict(
            text("%(path)s is a project already", path=str(path.absolute())), text("`refmill validate` looks at it.")
        )
    name = (
        "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in path.absolute().name.lower())
        or kind
    )
    for file, content in TEMPLATES[kind].items():
        if not (path / file).exists():
            (path / file).parent.mkdir(parents=True, exist_ok=True)
            (path / file).write_text(content.replace("{name}", name), encoding="utf-8")
    if not (path / ".git").exists():
        _run(path, "git", "init", "--quiet", "--initial-branch=main")
    dvc = str(Path(sys.executable).with_name("dvc"))
    if not (path / ".dvc").exists():
        _run(path, dvc, "init", "--quiet")
    if url:
        base = url.rstrip("/").removesuffix(".git")
        _run(path, "git", "remote", "add", "origin", f"{base}.git")
        _run(path, dvc, "remote", "add", "--quiet", "--default", "refmill", f"{base}.dvc")
    tell(text("a new %(kind)s lies in %(path)s; next:", kind=kind, path=str(path.absolute())))
    echo("  git add --all && git commit --message start")
    if not url:
        echo("  git remote add origin http://HOST:8700/NAME/REPOSITORY.git")
    echo("  git push --set-upstream origin main")


def _run(path: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=path, capture_output=True, text=True, check=False)
    if done.returncode:
        raise errors.Unavailable(
            text("“%(command)s” failed: %(output)s", command=" ".join(command), output=done.stderr.strip())
        )
