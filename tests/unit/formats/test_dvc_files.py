"""`*.dvc` files: those that the real dvc writes are understood, what is not supported is refused by name."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from refmill.errors import Invalid
from refmill.formats import directories, dvcfile
from refmill.model.pipelines import DataFile, DataOutput, RepositoryImport

MD5 = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, dvc: Callable[..., str], new_project: Callable[..., None]) -> Path:
    """A project with `dvc add` of a directory and an executable, and a `dvc import` from another repository."""
    folder = tmp_path_factory.mktemp("data")
    source, root = folder / "source", folder / "clone"
    new_project(source, {"table.csv": "1,2\n"})
    dvc(source, "add", "-q", "table.csv")
    subprocess.run(["git", "-C", str(source), "add", "-A"], check=True)
    subprocess.run(["git", "-C", str(source), "commit", "-qm", "data"], check=True)
    subprocess.run(["git", "-C", str(source), "tag", "v1"], check=True)
    new_project(root, {"in/dir/a": "a", "in/dir/b/c": "c", "tool.sh": "x"})
    dvc(root, "add", "-q", "in/dir", "tool.sh")
    dvc(root, "import", "-q", str(source), "table.csv", "--rev", "v1", "-o", "in/table.csv")
    return root


def read(root: Path, file: str) -> DataFile:
    return dvcfile.parse((root / file).read_bytes(), file)


def test_added_data(clone: Path) -> None:
    folder = directories.hash_directory(clone / "in/dir").hash
    out = DataOutput("dir", "in/dir", folder.md5, folder.size, folder.nfiles)
    assert read(clone, "in/dir.dvc") == DataFile("in/dir.dvc", (out,))
    assert read(clone, "tool.sh.dvc").outs[0].isexec


def test_imported_data(clone: Path) -> None:
    found = read(clone, "in/table.csv.dvc")
    source = str(clone.parent / "source")
    rev = subprocess.run(["git", "-C", source, "rev-parse", "v1"], capture_output=True, text=True, check=True)
    assert found.source == RepositoryImport(source, "table.csv", "v1", rev.stdout.strip())
    assert found.frozen
    assert (found.outs[0].root, found.outs[0].size) == ("in/table.csv", 4)


def test_a_working_directory_moves_the_root() -> None:
    data = f"wdir: ../up\nouts:\n- md5: {MD5}\n  hash: md5\n  path: x/../y\n  cache: false\n".encode()
    (out,) = dvcfile.parse(data, "a/b/z.dvc").outs
    assert (out.path, out.root, out.cache) == ("x/../y", "a/up/y", False)


OUT = f"- md5: {MD5}\n  hash: md5\n  path: "


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[]", [("dvc-file", "a/x.dvc:1:1")]),
        ("a: 1\n a: 2\n", [("yaml-syntax", "a/x.dvc:2:3")]),
        ("outs:\n", [("dvc-file", "a/x.dvc:1:6")]),
        (f"cmd: python x.py\nouts:\n{OUT}x\n", [("dvc-stage", "a/x.dvc:1:1")]),
        (f"outs:\n{OUT}../../x\n", [("path-outside", "a/x.dvc:4:9")]),
        (f"outs:\n{OUT}/etc/passwd\n", [("path-outside", "a/x.dvc:4:9")]),
        (f"outs:\n{OUT}s3://bucket/x\n", [("path-outside", "a/x.dvc:4:9")]),
        (f"wdir: ../..\nouts:\n{OUT}x\n", [("path-outside", "a/x.dvc:1:7")]),
        ("outs:\n- hash: md5\n  path: x\n", [("dvc-hash", "a/x.dvc:2:3")]),
        ("outs:\n- md5: zz\n  hash: md5\n  path: x\n", [("dvc-hash", "a/x.dvc:2:8")]),
        (f"outs:\n{OUT}x\n  size: big\n", [("dvc-file", "a/x.dvc:5:9")]),
        (f"outs:\n{OUT}x\n  cloud: {{}}\n", [("dvc-cloud", "a/x.dvc:5:3")]),
        (f"outs:\n{OUT}x\n  odd: 1\nmore: 2\n", [("unknown-key", "a/x.dvc:6:1"), ("unknown-key", "a/x.dvc:5:3")]),
        (f"frozen: true\ndeps:\n- path: d\n  repo: {{rev: 1}}\nouts:\n{OUT}x\n", [("dvc-file", "a/x.dvc:4:9")]),
        (f"frozen: true\ndeps:\n- db: here\nouts:\n{OUT}x\n", [("dvc-file", "a/x.dvc:3:7")]),
        (f"frozen: true\ndeps:\n- db: {{odd: 1}}\nouts:\n{OUT}x\n", [("unknown-key", "a/x.dvc:3:8")]),
        (f"deps:\n- path: d\nouts:\n{OUT}x\n", [("unsupported", "a/x.dvc:1:1")]),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, found: list[tuple[str, str]]) -> None:
    with pytest.raises(Invalid) as caught:
        dvcfile.parse(text.encode(), "a/x.dvc")
    assert [(problem.kind, str(problem.place)) for problem in caught.value.problems] == found


def test_an_import_without_its_data_is_told_how_to_get_them(
    tmp_path: Path, dvc: Callable[..., str], new_project: Callable[..., None]
) -> None:
    new_project(tmp_path / "here", {"real.txt": "1\n"})
    dvc(tmp_path / "here", "import-url", "-q", "--no-download", "real.txt", "data.txt")
    with pytest.raises(Invalid) as caught:
        read(tmp_path / "here", "data.txt.dvc")
    (problem,) = caught.value.problems
    assert problem.kind == "dvc-hash"
    assert "`dvc update data.txt.dvc`" in str(problem.remedy)
    dvc(tmp_path / "here", "update", "-q", "data.txt.dvc")
    assert read(tmp_path / "here", "data.txt.dvc").outs[0].size == 2
