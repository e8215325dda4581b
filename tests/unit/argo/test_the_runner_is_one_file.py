"""`runner.pyz`: the same sources give the same file, and any change another."""

import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import refmill
from refmill_argo import contract, packing

STEP = Path(refmill.__file__).parent / "step"


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sources, of which files are made."""
    copy = tmp_path / "refmill" / "step"
    for path in STEP.rglob("*.py"):
        target = copy / path.relative_to(STEP)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    monkeypatch.setattr(packing, "files", lambda _: tmp_path / "refmill")
    packing.runner.cache_clear()
    yield copy
    packing.runner.cache_clear()


def test_the_same_sources_give_the_same_bytes(sources: Path) -> None:
    copied = packing.runner()
    packing.runner.cache_clear()
    (sources / "pods" / "__pycache__").mkdir()
    (sources / "pods" / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert packing.runner() == copied
    command = [
        sys.executable,
        "-c",
        "import sys; from refmill_argo import packing; sys.stdout.buffer.write(packing.runner())",
    ]
    assert subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout == copied


@pytest.mark.parametrize("name", ["masks.py", "pods/main.py", "pods/new.py"])
def test_any_change_gives_another_digest(sources: Path, name: str) -> None:
    before = contract.runner_digest()
    packing.runner.cache_clear()
    with (sources / name).open("a") as file:
        file.write("# changed\n")
    assert contract.runner_digest() != before
    assert contract.runner_name(contract.runner_digest()) != contract.runner_name(before)


def test_the_file_has_the_step_runner_alone_and_fits_a_config_map() -> None:
    content = packing.runner()
    assert contract.runner_digest() == hashlib.sha256(content).hexdigest()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        assert archive.read("refmill/step/pods/main.py") == (STEP / "pods" / "main.py").read_bytes()
        assert {item.date_time for item in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    expected = {f"refmill/step/{path.relative_to(STEP)}" for path in STEP.rglob("*.py")}
    assert set(names) == expected | {"__main__.py", "refmill/__init__.py"}
    assert names == sorted(names)
    assert len(contract.encoded(content)) < 1 << 20  # what a ConfigMap takes
