"""What a requirements file may hold, and which content counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from refmill import errors
from refmill.engine import indexes, requirements


@pytest.fixture
def repo(tmp_path):
    def write(**files: str) -> Path:
        for name, content in files.items():
            path = tmp_path / "repo" / name.replace("__", "/").replace("_txt", ".txt").replace("_whl", ".whl")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return tmp_path / "repo"

    return write


@pytest.mark.parametrize(
    "line",
    [
        "-r ../outside.txt", "-r /etc/passwd", "-c/etc/passwd", "--requirement=/etc/passwd", "-e .", "--editable .", ".",
        "./pkg", "../x.whl", "/tmp/x.whl", "file:///tmp/x.whl", "x @ file:///tmp/x.whl", "x@file:/tmp/x.whl",
        "git+https://example.org/x.git", "x @ git+ssh://example.org/x", "-i https://${SECRET}@example.org/",
        "--find-links /opt", "-f ../wheels", "--find-links file:///opt", "--no-binary :all:", "--config-settings a=b",
        "--index-url file:///opt", "x.tar.gz", "link.txt/../../outside", "some/folder", "x @ ./x", "numpy @ /opt", "x==1 /etc/passwd", "-r missing.txt", "-r link.txt", "~/x.whl",
        "-r sub.txt # a comment\n-e .",
    ],
)  # fmt: skip
def test_what_must_not_be_is_refused_by_name(repo, tmp_path, line):
    root = repo(requirements_txt=line + "\n", sub_txt="numpy\n")
    (tmp_path / "outside.txt").write_text("numpy\n")
    (root / "link.txt").symlink_to(tmp_path / "outside.txt")
    with pytest.raises(errors.WrongUse, match="“"):
        requirements.digest(root, "requirements.txt")


@pytest.mark.parametrize(
    "line",
    [
        "numpy", "numpy (>=1.0)", "numpy == 1.*", "numpy~=1.0", "numpy>=1,<2 ; python_version > '3.8'", "x[y]==1 --hash=sha256:00", "-r sub/more.txt", "-c sub/more.txt",
        "--index-url https://example.org/simple", "--extra-index-url=https://example.org/simple", "--pre", "", "# x",
        "x @ https://example.org/x-1-py3-none-any.whl", "./w/x-1-py3-none-any.whl", "numpy \\\n  >= 1", "-f w",
        "--only-binary :all:", "\ufeffnumpy",
    ],
)  # fmt: skip
def test_what_may_be(repo, line):
    root = repo(requirements_txt=line + "\n", sub__more_txt="scipy\n", **{"w__x-1-py3-none-any_whl": "x"})
    assert len(requirements.digest(root, "requirements.txt")) == 64


def test_includes_and_wheels_count(repo):
    root = repo(
        requirements_txt="-r sub/more.txt\n./w/x.whl\n", sub__more_txt="-r ../top.txt\n", top_txt="a\n", w__x_whl="1"
    )
    seen = {requirements.digest(root, "requirements.txt")}
    for path in ("requirements.txt", "sub/more.txt", "top.txt", "w/x.whl"):
        (root / path).write_text((root / path).read_text() + "\n")
        seen.add(requirements.digest(root, "requirements.txt"))
    assert len(seen) == 5
    (root / "unrelated.txt").write_text("x")
    assert requirements.digest(root, "requirements.txt") in seen


def test_files_that_include_each_other_end(repo):
    root = repo(requirements_txt="-r other.txt\n", other_txt="-r requirements.txt\n")
    assert requirements.digest(root, "requirements.txt")


def test_version_control_only_where_source_may_be_built(repo):
    root = repo(requirements_txt="x @ git+https://example.org/x.git\n")
    assert requirements.digest(root, "requirements.txt", builds=True)
    with pytest.raises(errors.WrongUse):
        requirements.digest(repo(requirements_txt="x @ file:///x\n"), "requirements.txt", builds=True)


def test_uv_hears_what_only_pip_was_told(tmp_path):
    conf = tmp_path / "pip.conf"
    conf.write_text(
        "[global]\nindex-url = https://conf.example/simple\ncert = /etc/ca.pem\nfind-links =\n    /a\n    /b\n"
    )
    found = indexes.variables({"PIP_EXTRA_INDEX_URL": "https://one.example https://two.example"}, files=[conf])
    assert found == {
        "UV_INDEX": "https://one.example https://two.example",
        "UV_DEFAULT_INDEX": "https://conf.example/simple",
        "SSL_CERT_FILE": "/etc/ca.pem",
        "UV_FIND_LINKS": "/a,/b",
    }


def test_the_setting_wins_then_uv_then_pip_then_its_file(tmp_path):
    conf = tmp_path / "pip.conf"
    conf.write_text("[global]\nindex-url = https://conf.example\n")
    environ = {"PIP_INDEX_URL": "https://pip.example", "UV_INDEX_URL": "https://uv.example", "SECRET": "x"}
    assert indexes.variables(environ, "https://set.example", [conf]) == {"UV_DEFAULT_INDEX": "https://set.example"}
    assert indexes.variables(environ, "", [conf]) == {"UV_INDEX_URL": "https://uv.example"}
    del environ["UV_INDEX_URL"]
    assert indexes.variables(environ, "", [conf]) == {"UV_DEFAULT_INDEX": "https://pip.example"}
    assert indexes.variables({}, "", [conf]) == {"UV_DEFAULT_INDEX": "https://conf.example"}
    assert indexes.variables({}, "", [tmp_path / "none"]) == {}
