"""Metrics and parameters for tables: which files there are, and what stands in them."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refmill.errors import Invalid, RefmillError
from refmill.formats import lockfile, measures, yamlfile
from refmill.formats.measures import Metric

DVC_YAML = b"""\
vars: [vars.yaml]
metrics: [dvclive/metrics.json]
params: [extra.toml]
stages:
  prepare:
    cmd: echo
    outs: [a.csv]
  train:
    foreach: [rf, gb]
    do:
      cmd: echo
      wdir: models
      params: [depth, conf.yaml: [a, b], '${item}.yaml': [c]]
      metrics:
        - ${item}/scores.json
        - all.json:
            cache: false
  odd: 7
"""
LOCK = """\
schema: '2.0'
stages:
  train@rf:
    cmd: echo
    outs:
    - path: rf/scores.json
      hash: md5
      md5: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1
      size: 3
    - path: rf/model.pkl
      hash: md5
      md5: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa2
      size: 3
  trainer:
    cmd: echo
    outs:
    - path: gb/scores.json
      hash: md5
      md5: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa3
      size: 3
  train@gb:
    cmd: echo
    outs:
    - path: gb/scores.json
      hash: md5
      md5: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa4
      size: 3
"""


def test_a_dvc_yaml_names_its_files() -> None:
    found = measures.declared(DVC_YAML, "dvc.yaml")
    assert found.metrics == (
        Metric("", "", "dvclive/metrics.json"),
        Metric("train", "models", "${item}/scores.json"),
        Metric("train", "models", "all.json"),
    )
    assert [metric.fixed for metric in found.metrics] == [True, False, True]
    assert found.params == ("params.yaml", "extra.toml", "models/conf.yaml")


@pytest.mark.parametrize("source", [b"", b"- a\n", b"stages: 3\n", b"stages:\n  a:\n", b"metrics: {a: 1}\nparams: 3\n"])
def test_odd_shapes_name_nothing_and_break_nothing(source: bytes) -> None:
    assert set(measures.declared(source, "dvc.yaml").params) <= {"params.yaml"}


def test_templates_are_found_in_the_lock() -> None:
    declared = measures.declared(DVC_YAML, "dvc.yaml")
    entries = measures.locked(LOCK.encode(), "dvc.lock", declared.metrics)
    assert entries == {
        name: entry for name, entry in lockfile.parse(LOCK.encode(), "dvc.lock").stages.items() if name != "trainer"
    }
    everything = lockfile.parse(LOCK.encode(), "dvc.lock").stages
    assert list(measures.outputs(everything, declared.metrics[1])) == [
        ("models/rf/scores.json", "a" * 31 + "1"), ("models/gb/scores.json", "a" * 31 + "4"),
    ]  # fmt: skip
    assert list(measures.outputs(entries, declared.metrics[2])) == []


def test_a_lock_edited_by_hand_is_read_as_well_unless_it_is_large() -> None:
    edited = LOCK.replace("  train@gb:", "  train@gb:  # by me").encode()
    metrics = measures.declared(DVC_YAML, "dvc.yaml").metrics
    assert measures.locked(edited, "dvc.lock", metrics) == measures.locked(LOCK.encode(), "dvc.lock", metrics)
    with pytest.raises(Invalid):
        measures.locked(edited + b"#" * (200 << 10), "dvc.lock", metrics)
    with pytest.raises(Invalid):
        measures.locked(b"stages: 7\n", "dvc.lock", metrics)
    assert measures.locked(b"schema: '2.0'\nstages:\n  train: 7\n", "dvc.lock", metrics) == {}


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("m.json", b'{"a": {"b": 1, "c": [1, 2]}, "d": "x", "e": null, "f": true, "n": NaN}'),
        ("m.yaml", b"# all\na:\n  b: 1   # one\n  c: [1, 2]\n\nd: x\ne:\nf: true\nn: .nan\n"),
        ("m.py", b'd = "x"\nf = True\na = {"b": 1, "c": [1, 2]}\n'),
        ("m.toml", b'd = "x"\nf = true\nn = nan\n[a]\nb = 1\nc = [1, 2]\n'),
    ],
)
def test_every_single_value_has_its_dotted_name(file: str, source: bytes) -> None:
    found = measures.values(source, file)
    assert math.isnan(found.pop("n", math.nan))
    assert {name: value for name, value in found.items() if name != "e"} == {"a.b": 1, "d": "x", "f": True}


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("m.json", b"{ broken"),
        ("m.json", b"[" * 100_000),
        ("m.json", b'{"a": ' + b"1" * 10_000 + b"}"),
        ("m.yaml", b"a: [1\n"),
        ("m.yaml", b"a: &a [x]\nb: &b [*a, *a]\n" + b"".join(b"c%d: &c%d [*b, *b]\n" % (n, n) for n in range(9))),
        ("m.yaml", b"a: '" + b"x" * (200 << 10) + b"'\n"),
        ("m.toml", b"a = \n"),
        ("m.py", b"a = " + b"(" * 10_000),
        ("m.yaml", b"\xff\xfe"),
    ],
)
def test_what_cannot_be_read_is_an_error_of_ours_or_nothing(file: str, source: bytes) -> None:
    try:
        assert measures.values(source, file) == {}
    except RefmillError:
        pass


def test_tables_get_no_more_than_they_can_hold() -> None:
    many = b"{" + b",".join(b'"k%d": %d' % (number, number) for number in range(9000)) + b"}"
    assert len(measures.values(many, "m.json")) == measures.VALUES
    found = measures.values(b'{"a": "' + b"x" * 10_000 + b'", "' + b"k" * 1000 + b'": 1}', "m.json")
    assert {name: len(str(value)) for name, value in found.items()} == {"a": 300}


PIECES = ["a: 1", "b: x", "  c: yes", "  - 2", "- 3", "# a: 1", "d: 'x # y'", 'e: "', "f: |", "  text", "g: [1, 2]",
          "", "  ", "h: 1 # two", "i: a#b", "j: 010", "k: 1e-3", "l: &l 1", "m: *l", "n:", "\to: 1", "p: >", "q: {r: 1}",
          "a: 2", "s: http://t:u", "v: - w", "? x", ": y"]  # fmt: skip


@settings(max_examples=1500, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=6))
def test_plain_yaml_is_read_quickly_and_as_ruamel_reads_it(lines: list[str]) -> None:
    data = ("\n".join(lines) + "\n").encode()
    quick = measures._quick(data)
    if quick is not None:
        assert quick == yamlfile.load(data, "m.yaml")


def test_a_parameter_file_with_comments_is_read_quickly() -> None:
    source = b"# how to train\ntrain:\n  depth: 6   # deep\n\n  lr: 0.1\nnames:\n- a\n- b\n"
    assert measures._quick(source) == yamlfile.load(source, "params.yaml")
