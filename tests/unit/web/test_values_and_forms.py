"""How values are compared, grouped and written."""

import pytest

from refmill.formats.measures import leaves
from refmill_web.display import duration, island, number, size
from refmill_web.values import blocks, compare, parse


def test_better_is_told_only_where_the_name_says_which_way_is_up() -> None:
    old = {("m.json", "auc"): 0.8, ("m.json", "val_loss"): 0.5, ("m.json", "note"): "a", ("m.json", "same"): 1}
    new = {("m.json", "auc"): 0.9, ("m.json", "val_loss"): 0.6, ("m.json", "note"): "b", ("m.json", "same"): 1,
           ("m.json", "fresh"): 2}  # fmt: skip
    told = {row.name: (row.better, row.changed, row.known) for row in compare(new, old)}
    assert told == {
        "auc": ("better", True, True), "val_loss": ("worse", True, True), "note": ("", True, True),
        "same": ("", False, True), "fresh": ("", False, False),
    }  # fmt: skip


def test_several_models_with_the_same_measures_make_a_matrix() -> None:
    values = {("m.json", f"models.{model}.{measure}"): 1.0 for model in ("rf", "gb") for measure in ("auc", "f1")}
    (block,) = blocks(compare({**values, ("m.json", "seconds"): 3}, None))
    assert block.columns == ("auc", "f1")
    assert [prefix for prefix, _ in block.matrix] == ["models.rf", "models.gb"]
    assert [row.name for row in block.rows] == ["seconds"]


def test_one_model_stays_a_list() -> None:
    (block,) = blocks(compare({("m.json", "rf.auc"): 1, ("m.json", "rf.f1"): 1}, None))
    assert not block.matrix
    assert len(block.rows) == 2


@pytest.mark.parametrize(
    ("path", "data", "value"),
    [
        ("m.json", b'{"a": 1}', {"a": 1}),
        ("m.yaml", b"a: no\n", {"a": "no"}),
        ("m.toml", b"a = 1.5\n", {"a": 1.5}),
        ("m.json", b"{", None),
        ("m.toml", b"=", None),
    ],
)
def test_metrics_files(path: str, data: bytes, value: object) -> None:
    assert parse(path, data) == value


def test_leaves_have_dotted_names() -> None:
    assert list(leaves({"a": {"b": 1, "c": [1, 2]}, 3: None})) == [("a.b", 1), ("a.c", [1, 2]), ("3", None)]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.123456789, "0.123457"),
        (3, "3"),
        (True, "true"),
        (None, "null"),
        ("x", "x"),
        (float("nan"), "nan"),
        ([1], "[1]"),
    ],
)
def test_numbers(value: object, written: str) -> None:
    assert number(value) == written


@pytest.mark.parametrize(
    ("count", "written"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (10_240, "10 KiB"), (42_991_616, "41 MiB"), (None, "")],
)
def test_sizes(count: int | None, written: str) -> None:
    assert size(count) == written


def test_durations(world: object) -> None:
    app = world.app  # type: ignore[attr-defined]
    with app.test_request_context("/"):
        written = [duration(seconds) for seconds in (0.25, 9.96, 41.2, 72, 7500, 5)]
    assert written == ["0.2 s", "10 s", "41 s", "1 m 12 s", "2 h 05 m", "5 s"]


def test_data_for_scripts_cannot_end_its_element() -> None:
    markup = island("x", {"a": "</script><!--\u2028&"})
    assert markup.count("<") == 2
    assert "\\u003c/script\\u003e" in markup
