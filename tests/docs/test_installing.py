"""`make install` chooses a Python, an index and what to do anew."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import install

ROOT = Path(__file__).resolve().parents[2]


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    return subprocess.run(["make", *arguments], cwd=folder, env=environ, capture_output=True, text=True, check=False)


def test_make_alone_lists_the_sections() -> None:
    shown = make().stdout
    assert [line for line in shown.splitlines() if line and not line.startswith((" ", "Options"))] == [
        "Use it",
        "Test it",
        "Change it",
    ]
    assert "make demo" in shown


def test_a_missing_python_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text(encoding="utf-8"), encoding="utf-8")
    done = make("install", "PYTHON=no-such-python", "LOCKS=", "PROJECT=", folder=tmp_path)
    assert done.returncode == 2
    assert "Refmill needs Python 3.11 or newer, and there is no no-such-python" in done.stdout


def test_an_old_python_is_told_politely() -> None:
    script = (
        "import runpy, sys; sys.version_info = (3, 9, 18, 'final', 0);"
        "sys.argv = ['install.py', 'venv']; runpy.run_path('tools/install.py', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr
    assert "3.9.18" in done.stderr


def test_uv_hears_what_pip_is_configured_to() -> None:
    pip = {"index-url": "a", "extra-index-url": "b c", "cert": "/ca.pem", "timeout": "60"}
    assert install.index_variables({}, pip) == {
        "UV_DEFAULT_INDEX": "a",
        "UV_INDEX": "b c",
        "SSL_CERT_FILE": "/ca.pem",
    }


def test_an_index_given_to_uv_is_left_alone() -> None:
    assert install.index_variables({"UV_INDEX_URL": "mine"}, {"index-url": "pips"}) == {}
    assert install.index_variables({"SSL_CERT_FILE": "/mine"}, {"cert": "/pips"}) == {}


def test_pips_environment_is_stronger_than_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = from-file\n[install]\ntrusted-host =\n  one\n  two\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_INDEX_URL", "from-environment")
    found = install.pip_configuration()
    assert found["index-url"] == "from-environment"
    assert found["trusted-host"] == "one two"


def test_node_trusts_whom_the_machine_trusts() -> None:
    assert install.certificates({"SSL_CERT_FILE": "/ca.pem"}) == {"NODE_EXTRA_CA_CERTS": "/ca.pem"}
    assert install.certificates({"SSL_CERT_FILE": "/ca.pem", "NODE_EXTRA_CA_CERTS": "/mine"}) == {}
    assert install.certificates({}) == {}
