"""Locks pin everything by hash and name no place to download from."""

import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ["bootstrap", "build", "go", "runtime", "dev"]
PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)(?: ; [^\\]+)? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")


def lock(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")


def pins(name: str) -> set[tuple[str, str]]:
    found = [PINNED.match(line) for line in lock(name).splitlines()]
    return {(match[1], match[2]) for match in found if match}


def wanted(requirements: list[str]) -> set[str]:
    names = [re.match(r"[A-Za-z0-9._-]+", requirement) for requirement in requirements]
    return {re.sub(r"[._-]+", "-", match[0]).lower() for match in names if match}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_address(name: str) -> None:
    assert "://" not in lock(name)


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_of_a_lock_is_a_pin_or_a_hash(name: str) -> None:
    lines = [line for line in lock(name).splitlines() if line and not line.startswith("#")]
    assert lines
    assert [line for line in lines if not PINNED.match(line) and not HASH.match(line)] == []


def test_the_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    assert wanted(project["project"]["dependencies"]) <= {name for name, _ in pins("runtime")}
    assert wanted(groups["dev"]) <= {name for name, _ in pins("dev")}
    assert wanted(groups["build"]) <= {name for name, _ in pins("build")}
    assert wanted(groups["bootstrap"]) == {name for name, _ in pins("bootstrap")}


def test_the_locks_agree() -> None:
    assert pins("runtime") <= pins("dev")
    shared = {name for name, _ in pins("dev")}
    assert {pin for pin in pins("build") if pin[0] in shared} <= pins("dev")
    assert pins("bootstrap") <= pins("runtime")


def test_the_front_ends_lock_names_no_address() -> None:
    packages = json.loads((ROOT / "web" / "canvas" / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert packages
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert [name for name, package in packages.items() if name and "integrity" not in package] == []
