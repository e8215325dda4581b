"""What the code imports is what pyproject.toml asks for, and nothing is asked for in vain."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
OURS = {"refmill", "refmill_argo", "refmill_repos", "refmill_templates", "refmill_web"}
# Parts of what is asked for: DVC's, whose version is pinned exactly, and those that a library hands on as its own.
PARTS = {"configobj", "dvc-data", "dvc-objects", "dvc-http", "funcy", "networkx", "pathspec", "pygtrie", "scmrepo"}
PARTS |= {"markupsafe", "pydantic-core", "voluptuous", "werkzeug"}
STARTED = {"uv"}  # as a program, not imported
LOADED = {"psycopg", "pymysql"}  # by SQLAlchemy, for the database that is set


def normal(name: str) -> str:
    return re.sub(r"[._-]+", "-", name).lower()


def asked_for() -> set[str]:
    return {normal(re.split(r"[^\w.-]", line)[0]) for line in PROJECT["project"]["dependencies"]}


@cache
def imported() -> dict[str, str]:
    """Each foreign distribution that a source file imports, and one such file."""
    owners = importlib.metadata.packages_distributions()
    found: dict[str, str] = {}
    for package in sorted(OURS):
        for path in sorted(ROOT.glob(f"*/{package}/**/*.py")):
            if {"dataset", "pipeline"}.intersection(path.parts):
                continue  # what the demo pushes is a person's code, shipped as data
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module or ""]
                for top in {name.partition(".")[0] for name in names} - sys.stdlib_module_names - OURS - {"_typeshed"}:
                    found.setdefault(normal(owners.get(top, [top])[0]), str(path.relative_to(ROOT)))
    return found


def test_every_import_is_asked_for() -> None:
    known = asked_for() | PARTS
    assert {name: where for name, where in imported().items() if name not in known} == {}


def test_nothing_is_asked_for_in_vain() -> None:
    assert asked_for() - set(imported()) - STARTED - LOADED == set()
