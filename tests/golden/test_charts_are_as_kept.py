"""What the real helm makes of the chart, kept as files; `REFMILL_GOLDEN=write` writes them anew."""

import json
import os
import subprocess
from pathlib import Path

import pytest

import charting
from chart_values import VALUES

KEPT = Path(__file__).parent / "charts"


@pytest.mark.parametrize("name", VALUES)
def test_a_chart_is_rendered_as_it_is_kept(name: str) -> None:
    text = charting.rendered(VALUES[name])
    path = KEPT / f"{name}.yaml"
    if os.environ.get("REFMILL_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_no_other_chart_is_kept() -> None:
    assert sorted(path.stem for path in KEPT.glob("*.yaml")) == sorted(VALUES)


@pytest.mark.parametrize("name", VALUES)
def test_helm_finds_nothing_wrong(name: str, tmp_path: Path) -> None:
    (tmp_path / "values.json").write_text(json.dumps(VALUES[name]))
    command = [charting.helm(), "lint", "--strict", charting.CHART, "--values", tmp_path / "values.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
