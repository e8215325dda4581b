"""A notebook that papermill runs as a stage, as the user guide has it: packages, kernel, log, and the page it makes."""

import json
import re
import urllib.request
from pathlib import Path

import pytest

from platforms import Platform, new_copy

GUIDE = Path(__file__).resolve().parents[2] / "docs/user-guide.md"
STAGES = re.search(r"^```yaml\n(stages:\n  explore:.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
CELLS = (
    ("markdown", "# Rows\n", ()),
    ("code", "rate = 1\n", ("parameters",)),
    ("code", "import json\nrows = open('clean.csv').read().splitlines()\nprint(len(rows), 'rows at', rate)\n", ()),
    ("code", "with open('scores.json', 'w') as file:\n    json.dump({'rate': rate, 'rows': len(rows)}, file)\n", ()),
    ("code", "rows\n", ()),
)


def notebook() -> str:
    cells = [
        {"cell_type": kind, "id": f"cell{number}", "metadata": {"tags": tags}, "source": source}
        | ({"outputs": [], "execution_count": None} if kind == "code" else {})
        for number, (kind, source, tags) in enumerate(CELLS)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5})


@pytest.mark.full  # it takes some thirty packages from an index
def test_a_notebook_is_a_stage(platform: Platform, name: str, tmp_path: Path) -> None:
    assert STAGES is not None
    files = {
        "dvc.yaml": STAGES[1], "explore.ipynb": notebook(), "clean.csv": "a\nb\n", "params.yaml": "rate: 5\n",
        "requirements.txt": "papermill\nipykernel\n",
    }  # fmt: skip
    copy = new_copy(tmp_path / "copy", files)
    copy.git("push", "--quiet", platform.url(f"alice/{name}", "alice"), "main")
    run = platform.ended(f"alice/{name}", seconds=110)
    said = platform.refmill("logs", f"alice/{name}#1")
    assert run["status"] == "succeeded", said
    assert "2 rows at 5" in said

    ref = run["experiment"]
    copy.git("fetch", "--quiet", platform.url(f"alice/{name}", "alice"), "refs/exps/*:refs/exps/*")
    made = copy.git("for-each-ref", "--format=%(refname)", "refs/exps").stdout.strip()
    assert made.endswith(f"/{ref}")
    assert json.loads(copy.git("show", f"{made}:scores.json").stdout) == {"rate": 5, "rows": 2}
    platform.refmill("repo", "change", f"alice/{name}", "--public")
    with urllib.request.urlopen(f"{platform.address}/alice/{name}/runs/1/outputs/explored.ipynb") as answer:
        page = answer.read().decode()
    assert "<h1>Rows</h1>" in page
    assert "parameters of this run" in page
    assert "2 rows at 5" in page
