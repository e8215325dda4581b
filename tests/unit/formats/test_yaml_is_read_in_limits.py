"""YAML that anybody may push: DVC's values, one problem with its place for whatever is wrong, and no way to hurt."""

from __future__ import annotations

from contextlib import suppress

import pytest
from dvc.exceptions import DvcException
from dvc.utils.serialize import parse_yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from refmill.errors import Invalid
from refmill.formats import yamlfile
from refmill.formats.yamlfile import Marks


def bomb(levels: int = 12) -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines).encode()


def merges(levels: int = 12) -> bytes:
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, levels)]
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    ("data", "kind", "place"),
    [
        (b"a: 1\nb: [1\n", "yaml-syntax", "f:3:1"),
        (b"a: 1\n\tb: 2\n", "yaml-syntax", "f:2:1"),
        (b"a: *x\n", "yaml-syntax", "f:1:4"),
        (b"a: 1\n---\nb: 2\n", "yaml-syntax", "f:2:1"),
        (b"a: !!python/object/apply:os.system [id]\n", "yaml-syntax", "f:1:4"),
        (b"a: 2024-13-45\n", "yaml-syntax", "f"),
        (b"a: ok\nb: \x01\n", "yaml-syntax", "f:2:4"),
        (b"a: 1\nbb: {c: 1,\n c: 2}\n", "duplicate-key", "f:3:2"),
        (b"a: \xff\n", "encoding", "f:1:4"),
        (b"&a [*a]\n", "yaml-limit", "f:1:1"),
        (b"[" * 100_000, "yaml-limit", "f:1:65"),
        (b"- " * 5_000, "yaml-limit", "f:1:129"),
        (bomb(), "yaml-limit", "f:7:5"),
        (merges(), "yaml-limit", "f:1:1"),
        (bomb() + b"\n" + bomb(), "yaml-limit", "f:7:5"),
        (b"#" * (yamlfile.MAX_BYTES + 1), "yaml-limit", "f"),
    ],
)  # fmt: skip
def test_a_fault_is_one_problem_with_its_place(data: bytes, kind: str, place: str) -> None:
    with pytest.raises(Invalid) as caught:
        yamlfile.load(data, "f")
    (problem,) = caught.value.problems
    assert (problem.kind, str(problem.place)) == (kind, place)


def test_the_offending_line_is_quoted() -> None:
    with pytest.raises(Invalid) as caught:
        yamlfile.load(b"a: 1\n  b: 2  \n", "f")
    assert caught.value.problems[0].excerpt == "  b: 2"


@settings(max_examples=150, deadline=None)
@given(st.text("ab01:-# '\"\n{}[]&*|>!?.~%\t\\<=eE", max_size=60))
def test_values_are_dvcs_and_nothing_else_is_raised(text: str) -> None:
    try:
        value = yamlfile.load(text.encode(), "f")
    except Invalid as error:
        if error.problems[0].kind != "yaml-limit":
            with pytest.raises((DvcException, ValueError, TypeError, AttributeError, LookupError, AssertionError)):
                parse_yaml(text, "f")
        return
    assert repr(value) == repr(parse_yaml(text, "f"))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_give_a_value_or_a_problem(data: bytes) -> None:
    Marks(data).place("f", ("a", 0), key=True)
    with suppress(Invalid):
        yamlfile.load(data, "f")


def test_several_documents() -> None:
    assert yamlfile.load_all(b"a: 1\n---\nb: 2\n---\n", "f") == [{"a": 1}, {"b": 2}, None]


MARKED = b"""\
stages:
  one:
    cmd: x
    deps:
    - p
    - {k: v}
  base: &base
    wdir: w
  two: *base
  three:
    <<: [*base]
"""


@pytest.mark.parametrize(
    ("path", "key", "place"),
    [
        (("stages", "one", "cmd"), False, (3, 10)),
        (("stages", "one", "cmd"), True, (3, 5)),
        (("stages", "one", "deps", 1, "k"), False, (6, 11)),
        (("stages", "one", "absent", "x"), True, (2, 3)),
        (("stages", "two", "wdir"), False, (8, 11)),
        (("stages", "three", "wdir"), True, (8, 5)),
        ((), False, (1, 1)),
    ],
)
def test_places_of_keys_and_values(path: tuple[str | int, ...], key: bool, place: tuple[int, int]) -> None:
    found = Marks(MARKED).place("f", path, key)
    assert (found.line, found.column) == place


def test_places_in_the_second_document_and_before_a_fault() -> None:
    assert str(Marks(b"a: 1\n---\nb: 2\n").place("f", ("b",), document=1)) == "f:3:4"
    assert str(Marks(b"a: 1\nb: [").place("f", ("a",))) == "f:1:4"
    assert str(Marks(b"").place("f", ("a",))) == "f"
