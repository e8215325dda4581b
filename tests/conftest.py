"""What holds for every test: a machine of its own, no network beyond loopback, and no silent skips in CI."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import telling

ROOT = Path(__file__).resolve().parent.parent
# The reasons for which a test may be skipped where `.ci/run` has installed everything else.
ALLOWED_SKIPS = "no Argo programs", "no control groups", "no helm"
KEPT = (
    "PATH", "LANG", "TERM", "TMPDIR", "CI", "REFMILL_NO_SKIP", "REFMILL_SEED", "REFMILL_ARGO_HOME", "REFMILL_GOLDEN",
)  # fmt: skip
KEPT_PREFIXES = ("PYTEST_", "COV", "SSL_", "REFMILL_CLUSTER_")

_home: Path | None = None


def pytest_configure(config: pytest.Config) -> None:
    """Give this process, and all that tests start from it, an empty home and a quiet environment."""
    global _home  # noqa: PLW0603 - pytest's hooks share nothing else before the first fixture exists
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell ignores it for what it starts with "&"
        signal.signal(signal.SIGINT, signal.default_int_handler)
    hypothesis.settings.register_profile("on a busy machine", hypothesis.settings(), deadline=None)
    hypothesis.settings.load_profile("on a busy machine")
    _home = Path(tempfile.mkdtemp(prefix="refmill-tests-"))
    for name in list(os.environ):
        if name not in KEPT and not name.startswith(KEPT_PREFIXES):
            del os.environ[name]
    (_home / ".gitconfig").write_text(
        "[user]\n\tname = Ada Test\n\temail = ada@example.org\n"
        "[init]\n\tdefaultBranch = main\n[core]\n\tfsync = none\n[gc]\n\tauto = 0\n",
        encoding="utf-8",
    )
    os.environ |= {
        "HOME": str(_home),
        "XDG_CONFIG_HOME": str(_home / ".config"),
        "XDG_CACHE_HOME": str(_home / ".cache"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "DVC_NO_ANALYTICS": "1",
        "TZ": "UTC",
        "REFMILL_PUSH_WAIT": "5",  # once a push has ended its run is there, also on a busy machine
    }
    os.environ.setdefault("LANG", "C.UTF-8")
    # The programs of the environment under test, `dvc`, `uv` and `refmill`, come before those of the machine.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the home away again."""
    if _home is not None:
        shutil.rmtree(_home, ignore_errors=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand on what this process has to tell."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["told"] = telling.LINES


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what another process had to tell."""
    telling.LINES.extend(getattr(node, "workeroutput", {}).get("told", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The seed, and what campaigns came to."""
    for line in (telling.seed(), *telling.LINES):
        terminalreporter.write_line(line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under REFMILL_NO_SKIP a skipped test is a failed one."""
    report = yield
    if not hasattr(report, "wasxfail"):
        _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself whole."""
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or os.environ.get("REFMILL_NO_SKIP") != "1":
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not any(allowed in reason for allowed in ALLOWED_SKIPS):
        report.outcome = "failed"
        report.longrepr = f"skipped, and REFMILL_NO_SKIP=1 allows no skip: {reason}"


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT
