"""dvc.lock: entries keep their place, new ones follow, hand-made changes stay, faults are named with their place."""

from __future__ import annotations

import time
from typing import Any

import pytest
from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update
from hypothesis import given, settings
from hypothesis import strategies as st

from refmill.errors import Invalid
from refmill.formats import lockfile, yamlfile
from refmill.formats.lockfile import Lock


def item(cmd: str, **values: Any) -> dict[str, Any]:
    md5 = "0" * 31 + "1"
    params = {"params": {"params.yaml": values}} if values else {}
    return {"cmd": cmd, **params, "outs": [{"path": "o", "hash": "md5", "md5": md5, "size": 2}]}


def dvc_updates(data: bytes, entries: dict[str, Any]) -> bytes:
    """What dvc.dvcfile.Lockfile.dump_stages does, entry by entry."""
    text = data.decode()
    for name, value in entries.items():
        found = parse_yaml_for_update(text, "dvc.lock") or {"schema": "2.0"}
        found["stages"] = found.get("stages", {})
        found["stages"].update({name: value})
        text = dumps_yaml(found)
    return text.encode()


OLD = {"b": item("echo b", lr=0.5), "gone": item("echo gone"), "a": item("echo a", x="no: 'quote'\n")}
NEW = {"a": item("echo other"), "z": item("echo z " + "long " * 40), "c": item("echo c", lr=1e-05, n=None)}


def test_a_second_run_after_stages_came_and_went(project_copy: Any) -> None:
    text = project_copy.read("dvc.yaml").decode()
    text = text.replace("echo more", "echo  even more").replace("lr, top.1", "top.1")
    start, end = text.index("  lines:"), text.index("  keep:")
    added = "  first:\n    cmd: echo 1 > first\n    outs: [first]\n"
    text = "stages:\n" + added + text[:start].removeprefix("stages:\n") + text[end:]
    (project_copy.root / "dvc.yaml").write_text(text)
    before = lockfile.parse(project_copy.read("dvc.lock"), "dvc.lock")
    project_copy.dvc("repro")
    after = yamlfile.load(project_copy.read("dvc.lock"), "dvc.lock")["stages"]
    assert list(after) == [*before.stages, "first"]
    assert lockfile.emit(lockfile.merge(before, after)) == project_copy.read("dvc.lock")


def test_a_lock_of_dvcs_own_form() -> None:
    old = dvc_updates(b"", OLD)
    lock = lockfile.parse(old, "dvc.lock")
    assert not lock.edited
    merged = lockfile.merge(lock, NEW)
    assert list(merged.stages) == ["b", "gone", "a", "z", "c"]
    assert lockfile.emit(merged) == dvc_updates(old, NEW)


names = st.sampled_from(["a", "b", "b2", "c@1", "c@x y", "true", "12", "1e3", "ü"])
words = st.sampled_from(["python", "it's", "a: b", "#", "-", "x" * 30, "ü", "10", "no", "|", "{a}", "12:30", " "])
texts = st.lists(words, min_size=1, max_size=20).map(" ".join)
scalars = texts | st.integers() | st.booleans() | st.none() | st.integers(-999, 999).map(lambda number: number / 8)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=6
)
items = st.builds(lambda cmd, params: item(cmd, **params), texts, st.dictionaries(words, values, max_size=3))
stages = st.dictionaries(names, items, max_size=5)


@settings(max_examples=40, deadline=None)
@given(stages, stages)
def test_any_entries_are_merged_to_the_bytes_that_dvc_writes(old: dict[str, Any], new: dict[str, Any]) -> None:
    first = lockfile.emit(lockfile.merge(Lock(), old))
    assert first == dvc_updates(b"", old)
    assert lockfile.emit(lockfile.merge(lockfile.parse(first, "dvc.lock"), new)) == dvc_updates(first, new)


def test_a_lock_with_comments_keeps_them() -> None:
    old = dvc_updates(b"", OLD).replace(b"  gone:", b"  # kept for a reason\n  gone:").replace(b"echo b", b"'echo b'")
    lock = lockfile.parse(old, "dvc.lock")
    assert lock.edited
    assert lockfile.emit(lock) == old
    assert lockfile.emit(lockfile.merge(lock, {"b": OLD["b"]})) == old
    emitted = lockfile.emit(lockfile.merge(lock, NEW))
    assert emitted == dvc_updates(old, NEW)
    assert b"# kept for a reason" in emitted


def test_datasets_stay() -> None:
    old = b"schema: '2.0'\ndatasets:\n- name: d\n  url: u\n  rev: '1'\nstages:\n  a:\n    cmd: echo a\n"
    lock = lockfile.parse(old, "dvc.lock")
    assert lock.datasets == [{"name": "d", "url": "u", "rev": "1"}]
    assert lockfile.emit(lockfile.merge(lock, NEW)) == dvc_updates(old, NEW)


def test_values_in_two_places_become_anchors_numbered_through_the_file() -> None:
    one, two = {"lr": 1}, {"lr": 2}
    entries = {"s1": item("x", a=one, b=one), "s2": item("y", a=two, b=two)}
    assert lockfile.emit(lockfile.merge(Lock(), entries)) == dvc_updates(b"", entries)


def test_a_float_keeps_its_value_where_dvcs_rewriting_changes_it() -> None:
    entries = {"a": item("x", lr=1.112733043744429e-14), "b": item("y")}
    emitted = lockfile.emit(lockfile.merge(Lock(), entries))
    assert lockfile.parse(emitted, "dvc.lock").stages == entries
    assert b"1.112733043744428e-14" in dvc_updates(b"", entries), "DVC has mended it: follow DVC again"


def test_nothing_makes_no_file() -> None:
    assert lockfile.emit(Lock()) == b""
    assert lockfile.emit(lockfile.merge(lockfile.parse(b"", "dvc.lock"), {})) == b""


@pytest.mark.parametrize(
    ("text", "kind", "place"),
    [
        ("a:\n  cmd: x\n", "lock-schema", "dvc.lock:1:1"),
        ("schema: '1.0'\nstages: {}\n", "lock-schema", "dvc.lock:1:9"),
        ("schema: '2.0'\nstages:\n- a\n", "lock-entry", "dvc.lock:3:1"),
        ("schema: '2.0'\nstages:\n  a:\n    deps: []\n", "lock-entry", "dvc.lock:4:5"),
        ("schema: '2.0'\nstages:\n  a:\n    cmd: x\n    deps:\n    - md5: '1'\n", "lock-entry", "dvc.lock:6:7"),
        ("schema: '2.0'\nstages:\n  a:\n    cmd: x\n    odd: 1\n", "lock-entry", "dvc.lock:5:10"),
        ("schema: '2.0'\nstages:\n  a:\n    cmd: x\n    params: [1]\n", "lock-entry", "dvc.lock:5:13"),
        ("schema: '2.0'\n<<<<<<< HEAD\nstages:\n", "yaml-syntax", "dvc.lock:3:1"),
    ],
)
def test_a_broken_lock_is_refused_with_its_place(text: str, kind: str, place: str) -> None:
    with pytest.raises(Invalid) as caught:
        lockfile.parse(text.encode(), "dvc.lock")
    (problem,) = caught.value.problems
    assert (problem.kind, str(problem.place)) == (kind, place)


def test_three_hundred_stages_are_written_twenty_times_faster_than_by_ruamel() -> None:
    entries = {
        f"s{i}": item(f"python train.py --n {i} " + "--option value " * 6, lr=i / 7, name="a: b") for i in range(300)
    }
    lock = lockfile.merge(Lock(), entries)
    quick = min(_seconds(lambda: lockfile.emit(lock)) for _ in range(3))
    assert _seconds(lambda: dumps_yaml({"schema": "2.0", "stages": entries})) > 20 * quick
    data = lockfile.emit(lock)
    assert data.decode() == dumps_yaml({"schema": "2.0", "stages": entries})
    assert _seconds(lambda: yamlfile.load(data, "dvc.lock")) > 5 * _seconds(lambda: lockfile.parse(data, "dvc.lock"))


def _seconds(work: Any) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
