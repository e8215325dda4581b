"""Words of `-S` on files that somebody pushed: DVC's bytes, or a problem that says what is wrong."""

from pathlib import Path

import pytest

from refmill.clients import dvc_overrides
from refmill.clients.resolver.warming import MemoryTree
from refmill.ports.resolver import Checked

FILES = {"params.yaml": b"a: {b: 1} # c\n", "x/p.json": b'{"k": [1]}', "dvc.yaml": b"stages: {}\n", "n.txt": b"1\n"}


def checked(*words: str) -> Checked:
    def check(tree: object) -> Checked:
        return Checked(None)

    return dvc_overrides.checked(MemoryTree(FILES), words, check)


def test_the_files_are_those_that_dvc_writes(tmp_path: Path) -> None:
    words = ["a.b=[1, 2]", "+new.key='x y'", "x/p.json:k=3e-4"]
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert set(dvc_overrides.set_params(tmp_path, words)) == {"params.yaml", "x/p.json"}
    found = checked(*words)
    assert found.problems == ()
    assert found.changed == {path: (tmp_path / path).read_text() for path in ("params.yaml", "x/p.json")}


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("a.b=1,2", "one run has one value of each"), ("a.b=choice(1,2)", "one run has one value of each"),
        ("zz=1", "no parameter “zz”"), ("a.b", "missing EQUAL"), ("a=[", "no viable alternative"),
        ("a.b=${nope}", "not found"), ("../p.yaml:a=1", "../p.yaml"), ("/etc/p.yaml:a=1", "/etc/p.yaml"),
        ("dvc.yaml:stages=1", "no parameter file"), ("n.txt:a=1", "no parameter file"), ("absent.toml:a=1", "absent.toml"),
    ],
)  # fmt: skip
def test_words_that_do_not_fit_are_a_problem_with_a_remedy(word: str, says: str) -> None:
    (problem,) = checked(word).problems
    assert problem.kind == "bad-parameter"
    assert not problem.warning
    assert says in str(problem.message)
    assert str(problem.remedy)
