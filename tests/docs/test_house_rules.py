"""What tests/conftest.py and pyproject.toml promise about every test."""

import os
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SKIPS = """
import pytest

def test_that_skips():
    pytest.skip("no browser here")

def test_that_may():
    pytest.skip("no Argo programs")

@pytest.mark.xfail(reason="known", strict=True)
def test_that_is_known_to_fail():
    assert False
"""
MODULE_SKIPS = "import pytest\npytest.importorskip('no_such_module')\n"


def outcome(folder: Path, source: str, *options: str, whole: bool = False, **environ: str) -> tuple[int, str]:
    """Exit code and closing line, or all that it says, of a pytest with the project's configuration over one file."""
    (folder / "test_sample.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-p", "conftest"]
    done = subprocess.run(
        [*command, "--rootdir", str(folder), "-p", "no:cacheprovider", *options, str(folder)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "tests"), "REFMILL_NO_SKIP": ""} | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()[-1] if not whole else done.stdout


def test_skips_are_skips_on_a_bare_machine(tmp_path: Path) -> None:
    code, closing = outcome(tmp_path, SKIPS)
    assert code == 0
    assert "2 skipped, 1 xfailed" in closing


def test_under_no_skip_only_the_named_reason_skips(tmp_path: Path) -> None:
    code, closing = outcome(tmp_path, SKIPS, REFMILL_NO_SKIP="1")
    assert code == 1
    assert "1 failed, 1 skipped, 1 xfailed" in closing


def test_under_no_skip_a_module_cannot_skip_itself(tmp_path: Path) -> None:
    assert outcome(tmp_path, MODULE_SKIPS)[0] == 5  # pytest: nothing was collected
    code, closing = outcome(tmp_path, MODULE_SKIPS, REFMILL_NO_SKIP="1")
    assert code == 2
    assert "1 error" in closing


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_seed_and_figures_are_told_though_nothing_failed(tmp_path: Path, workers: tuple[str, ...]) -> None:
    source = "import telling\ndef test_that_counts():\n    telling.LINES.append('seven were lost')\n"
    code, said = outcome(tmp_path, source, *workers, whole=True, REFMILL_SEED="70000")
    assert code == 0
    assert "from seed 70000 (REFMILL_SEED)" in said
    assert said.count("seven were lost") == 1


def test_warnings_are_errors() -> None:
    with pytest.raises(UserWarning):
        warnings.warn("anything", stacklevel=1)


def test_hosts_beyond_loopback_are_blocked() -> None:
    # 192.0.2.1 is kept for documentation and answers nowhere. Its refusal warns first, and warnings are errors.
    with socket.socket() as unsent, pytest.raises(UserWarning, match=r"192\.0\.2\.1"):
        unsent.connect(("192.0.2.1", 80))


def test_loopback_and_unix_sockets_are_open(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()[:2]):
        pass
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))


def test_tests_have_a_home_of_their_own() -> None:
    home = Path(os.environ["HOME"])
    assert home.name.startswith("refmill-tests-")
    shown = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, check=True, cwd=home)
    assert shown.stdout.strip() == "Ada Test"
    assert not [name for name in os.environ if name.startswith(("GIT_AUTHOR", "DVC_")) and name != "DVC_NO_ANALYTICS"]
