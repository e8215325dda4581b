"""Environments made by the real `uv` from wheels that lie in the repository; no network."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import threading
import zipfile
from pathlib import Path

import pytest

from refmill import errors
from refmill.engine import environments as module
from refmill.engine.environments import Environments
from refmill.engine.sandbox import Sandbox
from refmill.ports.engines import StageSettings

boxed = pytest.mark.skipif(not Sandbox().works, reason="bubblewrap does not work here")
UV = str(Path(module.sys.executable).parent / "uv")


def wheel(folder: Path, name: str, version: str = "1.0", body: str = "", **more: str) -> str:
    """A tiny wheel with one module and one script; gives its file name. `more` are other files in it."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": body or f"VERSION = {version!r}\ndef main():\n    print({name!r}, VERSION)\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name}-say = {name}:main\n",
        **more,
    }
    digest = lambda data: base64.urlsafe_b64encode(hashlib.sha256(data.encode()).digest()).rstrip(b"=").decode()  # noqa: E731
    record = "".join(f"{path},sha256={digest(data)},{len(data)}\n" for path, data in files.items())
    file = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(folder / file, "w") as archive:
        for path, data in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            archive.writestr(path, data)
    return file


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "checkout"
    wheel(folder / "wheels", "tiny")
    (folder / "requirements.txt").write_text("--no-index\n--find-links wheels\ntiny==1.0\n")
    return folder


@pytest.fixture
def maker(tmp_path, monkeypatch):
    for name in ("PIP_FIND_LINKS", "UV_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    return Environments(tmp_path / "env", tmp_path / "cache", uv=UV, sandbox=Sandbox("off"))


def test_an_environment_has_what_the_file_asks_for(checkout, maker):
    assert maker.known(checkout, "requirements.txt") is None
    made = maker.ready(checkout, "requirements.txt")
    assert made.pins == ("tiny==1.0",)
    assert (
        subprocess.run([made.programs / "tiny-say"], capture_output=True, text=True, check=True).stdout == "tiny 1.0\n"
    )
    assert maker.known(checkout, "requirements.txt") == made


def test_without_requirements_there_is_the_platforms_python(checkout, maker):
    made = maker.ready(checkout, "")
    code = "import sys; print(sys.version)"
    found = subprocess.run([made.programs / "python", "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == module.sys.version.replace("\n", " ") or found.split()[0] == module.sys.version.split()[0]


def test_the_same_content_is_made_once_whoever_asks_however_often(checkout, maker, monkeypatch):
    runs = []
    original = maker._run

    def counted(arguments, *rest):
        runs.append(arguments[0])
        return original(arguments, *rest)

    monkeypatch.setattr(maker, "_run", counted)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(maker.ready(checkout, "requirements.txt"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({made.path for made in found}) == 1
    assert runs.count("venv") == 1


def test_another_content_is_another_environment(checkout, maker):
    first = maker.ready(checkout, "requirements.txt")
    wheel(checkout / "wheels", "tiny", body="VERSION = 'changed'\ndef main(): pass\n")
    second = maker.ready(checkout, "requirements.txt")
    assert first.path != second.path


def test_what_a_crash_left_half_built_is_built_again(checkout, maker):
    made = maker.ready(checkout, "requirements.txt")
    (made.path / module.READY).unlink()
    (made.path / "bin" / "tiny-say").unlink()
    again = maker.ready(checkout, "requirements.txt")
    assert (again.programs / "tiny-say").exists()


def test_a_failure_is_told_with_uvs_own_words_and_leaves_nothing(checkout, maker, monkeypatch):
    (checkout / "requirements.txt").write_text("--no-index\n--find-links wheels\nnosuchthing==7\n")
    with pytest.raises(errors.Unavailable, match="nosuchthing"):
        maker.ready(checkout, "requirements.txt")
    assert [path.suffix for path in (maker._root).iterdir() if "cache" not in path.name] == [".lock"]
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("uv was asked again"))
    with pytest.raises(errors.Unavailable, match="nosuchthing"):
        maker.ready(checkout, "requirements.txt")


def test_source_packages_are_not_built_unless_they_may_be(checkout, maker, tmp_path):
    folder = tmp_path / "evil-1.0"
    made = wheel(folder, "evil")
    (folder / "backend.py").write_text(
        f"import pathlib, shutil\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n"
        f"def build_wheel(directory, *_, **__):\n    shutil.copy({made!r}, directory)\n    return {made!r}\n"
    )
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (folder / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    subprocess.run(["tar", "czf", checkout / "wheels" / "evil-1.0.tar.gz", "-C", tmp_path, "evil-1.0"], check=True)
    (checkout / "requirements.txt").write_text("--no-index\n--find-links wheels\nevil\n")
    with pytest.raises(errors.Unavailable):
        maker.ready(checkout, "requirements.txt")
    assert not (tmp_path / "ran").exists()
    boxed = Environments(tmp_path / "env2", tmp_path / "cache", uv=UV, sandbox=Sandbox("off"), wheels_only=False)
    with pytest.raises(errors.Forbidden):
        boxed.ready(checkout, "requirements.txt")


def test_what_a_package_brings_does_not_run_while_its_environment_is_made(checkout, maker, tmp_path):
    wheel(checkout / "wheels", "tiny", **{"tiny.pth": f"import os; open({str(tmp_path / 'ran')!r}, 'w').close()\n"})
    made = maker.ready(checkout, "requirements.txt")
    assert made.pins == ("tiny==1.0",)
    assert not (tmp_path / "ran").exists()
    subprocess.run([made.programs / "python", "-c", ""], check=True)
    assert (tmp_path / "ran").exists(), "else the test shows nothing"


@boxed
def test_a_build_changes_no_cache_of_others_and_runs_nothing_outside_of_its_box(checkout, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "precious").write_text("precious")
    folder = tmp_path / "sly-1.0"
    made = wheel(folder, "sly")
    backend = f"""
import os, pathlib, shutil
def build_wheel(directory, *_, **__):
    for python in pathlib.Path({str(tmp_path / "env2")!r}).glob("*/bin/python"):
        real = os.readlink(python)
        python.unlink()
        python.write_text("#!/bin/sh\\n: > {tmp_path / "ran"}\\nexec " + real + ' "$@"')
        python.chmod(0o755)
    try:
        pathlib.Path({str(cache)!r}, "precious").write_text("poison")
    except OSError:
        pass
    shutil.copy({made!r}, directory)
    return {made!r}
"""
    (folder / "backend.py").write_text(backend)
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (folder / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: sly\nVersion: 1.0\n")
    subprocess.run(["tar", "czf", checkout / "wheels" / "sly-1.0.tar.gz", "-C", tmp_path, "sly-1.0"], check=True)
    (checkout / "requirements.txt").write_text("--no-index\n--find-links wheels\nsly\n")
    maker = Environments(tmp_path / "env2", cache, uv=UV, sandbox=Sandbox(), wheels_only=False)
    assert maker.ready(checkout, "requirements.txt").path.exists()
    assert (cache / "precious").read_text() == "precious"
    assert not (tmp_path / "ran").exists()
    assert not [path for path in (tmp_path / "env2").iterdir() if path.name.endswith(".cache")]


def test_a_stage_runs_with_its_environment(bench):
    wheel(bench.source / "wheels", "tiny")
    pipeline = "stages:\n  say:\n    cmd: tiny-say > said; python -c 'import tiny; print(tiny.VERSION)' >> said\n    outs: [{said: {cache: false}}]\n"
    files = {"dvc.yaml": pipeline, "requirements.txt": "--no-index\n-f wheels\ntiny\n"}
    assert bench.run(files, {"say": StageSettings(requirements="requirements.txt")}) == "succeeded", bench.kept
    assert bench.told.ends[0][2]["said"] == b"tiny 1.0\n1.0\n"


def test_a_stage_whose_environment_cannot_be_made_fails_with_the_reason(bench):
    files = {
        "dvc.yaml": "stages:\n  a:\n    cmd: echo 1 > a\n    outs: [a]\n",
        "requirements.txt": "--no-index\nnosuch\n",
    }
    assert bench.run(files, {"a": StageSettings(requirements="requirements.txt")}) == "failed"
    assert "the environment could not be made" in str(bench.told.last("a").explanation)
