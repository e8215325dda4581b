"""The layout and the sizes that CONTRIBUTING.md promises."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE_ROOTS = {
    "platform": "refmill", "templates": "refmill_templates", "repos": "refmill_repos", "argo": "refmill_argo",
    "web": "refmill_web",
}  # fmt: skip
LARGEST = {"source": 500, "test": 600, "page": 300, "typescript": 400}  # lines; design: "CI fails above"
LONGEST_FUNCTION = 80
SKIPPED = {"node_modules", "__pycache__", "dist"}


def files(folder: str, suffix: str) -> list[Path]:
    return sorted(
        path.relative_to(ROOT)
        for path in (ROOT / folder).rglob(f"*{suffix}")
        if not SKIPPED.intersection(path.relative_to(ROOT).parts)
    )


def sources() -> list[Path]:
    return [path for folder in SOURCE_ROOTS for path in files(folder, ".py")]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def too_long(paths: list[Path], limit: int) -> dict[str, int]:
    counted = {str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in paths}
    return {name: count for name, count in counted.items() if count > limit}


def test_no_file_is_too_long() -> None:
    assert too_long(sources(), LARGEST["source"]) == {}
    assert too_long(files("tests", ".py"), LARGEST["test"]) == {}
    assert too_long(files("web/refmill_web", ".html"), LARGEST["page"]) == {}
    assert too_long([*files("web/canvas", ".ts"), *files("web/canvas", ".tsx")], LARGEST["typescript"]) == {}


def test_no_function_is_too_long() -> None:
    found = {
        f"{path}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in sources()
        for node in functions(path)
    }
    assert len(found) > 100  # else nothing was looked at
    assert {name: length for name, length in found.items() if length > LONGEST_FUNCTION} == {}


@pytest.mark.parametrize("folder", ["platform", "repos", "web", "argo", "templates", "webhooks", "tests"])
def test_a_top_level_folder_is_no_package(folder: str) -> None:
    assert not (ROOT / folder / "__init__.py").exists()


@pytest.mark.parametrize(("folder", "package"), SOURCE_ROOTS.items())
def test_a_source_root_holds_one_package(folder: str, package: str) -> None:
    found = {path.parent.name for path in (ROOT / folder).glob("*/__init__.py")}
    assert found == {package}
    assert (ROOT / folder / package / "py.typed").is_file()


def test_pythons_own_platform_module_is_not_hidden() -> None:
    import platform  # noqa: PLC0415 - the import is what is tested

    assert platform.system()


def test_the_step_runner_uses_the_standard_library_alone() -> None:
    """Beside its own folder, its imports name Python's own modules."""
    for path in files("platform/refmill/step", ".py"):
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            foreign = {
                name
                for name in names
                if name.partition(".")[0] not in sys.stdlib_module_names and name.split(".")[:2] != ["refmill", "step"]
            }
            assert not foreign, f"{path}:{getattr(node, 'lineno', 0)}"


def test_the_step_runner_keeps_to_the_syntax_of_python_3_8() -> None:
    for path in files("platform/refmill/step", ".py"):
        ast.parse((ROOT / path).read_text(encoding="utf-8"), feature_version=(3, 8))


YOUNGER = {
    "removeprefix", "removesuffix", "is_relative_to", "waitstatus_to_exitcode", "pidfd_open", "pairwise", "file_digest",
    "to_thread", "bit_count", "hardlink_to", "randbytes", "lcm", "nextafter", "UTC", "chdir", "add_note",
    "data_filter", "batched", "closerange_from", "unparse", "TopologicalSorter", "is_junction", "ExceptionGroup",
}  # fmt: skip
"""Names of the standard library that came after Python 3.8 and come to mind; `os.chdir` is older than that of contextlib."""
YOUNGER_KEYWORDS = {
    "usedforsecurity",
    "process_group",
    "user",
    "umask",
    "filter",
    "slots",
    "kw_only",
    "strict",
    "pipesize",
}


def test_the_step_runner_uses_no_library_younger_than_python_3_8() -> None:
    """`tests/unit/step` runs it with Python 3.8 where there is one; this looks everywhere."""
    found = []
    for path in files("platform/refmill/step", ".py"):
        text = (ROOT / path).read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute) and node.attr in YOUNGER and ast.unparse(node) != "os.chdir":
                found.append(f"{path}:{node.lineno} {node.attr}")
            if isinstance(node, ast.keyword) and node.arg in YOUNGER_KEYWORDS:
                above = text.splitlines()[node.lineno - 2]
                found += [] if "sys.version_info" in above else [f"{path}:{node.lineno} {node.arg}="]
    assert found == []


def test_test_files_have_names_of_their_own() -> None:
    """pytest imports test files by their bare name, since test folders are no packages."""
    names = [path.name for path in files("tests", ".py") if path.name != "conftest.py"]
    assert sorted(set(names)) == sorted(names)
