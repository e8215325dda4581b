"""Logs by run and stage, while they grow and when they lie in the archive."""

from __future__ import annotations

import pytest

from refmill.engine import attempts, logs
from refmill.engine.logs import AttemptLogs
from refmill.model.runs import Run
from refmill.texts import text

RUN = Run("r1", "repo", "a/b", 1, "0" * 40, "", "", "running", "", "", 0)


@pytest.fixture
def live(tmp_path):
    directory = attempts.directory(tmp_path / "work", "r1", "train@rf", 2)
    directory.mkdir(parents=True)
    return directory


@pytest.fixture
def reader(tmp_path):
    return AttemptLogs(tmp_path / "work", lambda run: tmp_path / "archive" / str(run.number))


def grow(path, *words: str, end: str = "\n") -> None:
    with path.open("a") as file:
        file.writelines(f"2026-11-23T09:27:04.000001Z o {word}{end}" for word in words)


def words(page) -> list[tuple[int, str]]:
    return [(line.number, line.text) for line in page.lines]


def test_a_growing_log_is_read_page_by_page(reader, live):
    assert words(reader.read(RUN, "train@rf", 2)) == []
    grow(live / "log", *"abcde")
    page = reader.read(RUN, "train@rf", 2, limit=2)
    assert (words(page), page.next) == ([(1, "a"), (2, "b")], 3)
    page = reader.read(RUN, "train@rf", 2, start=page.next, limit=2)
    assert (words(page), page.next) == ([(3, "c"), (4, "d")], 5)
    grow(live / "log", "half", end="")
    page = reader.read(RUN, "train@rf", 2, start=page.next)
    assert (words(page), page.next, page.complete) == ([(5, "e")], 6, False)
    grow(live / "log", "", end=" done\n")
    page = reader.read(RUN, "train@rf", 2, start=page.next)
    assert page.next == 7
    assert words(reader.read(RUN, "train@rf", 2, start=2, limit=1)) == [(2, "b")]
    assert words(reader.read(RUN, "train@rf", 2, start=9)) == []
    grow(live / "log", *"7890")
    assert words(reader.read(RUN, "train@rf", 2, start=9)) == [(9, "9"), (10, "0")]
    assert words(reader.read(RUN, "train@rf", 2, start=-6, limit=1)) == [(5, "e")]
    assert words(reader.read(RUN, "train@rf", 2, start=-99, limit=1)) == [(1, "a")]


def test_a_remark_of_the_engine_is_a_line_of_its_own(reader, live):
    grow(live / "log", "a")
    logs.note(live, text("ended\nwith %(code)s", code=3))
    [_, remark] = reader.read(RUN, "train@rf", 2).lines
    assert (remark.stream, remark.text) == ("note", "ended with 3")


def test_the_end_is_told_when_the_attempt_has_ended(reader, live):
    grow(live / "log", *"abc")
    (live / "ended").touch()
    assert not reader.read(RUN, "train@rf", 2, limit=2).complete
    assert reader.read(RUN, "train@rf", 2, start=3).complete


def test_the_archive_takes_over(reader, live, tmp_path):
    kept = tmp_path / "archive" / "1" / f"{attempts.name('train@rf', 2)}.log"
    kept.parent.mkdir(parents=True)
    grow(kept, "kept")
    page = reader.read(RUN, "train@rf", 2)
    assert (words(page), page.complete) == ([(1, "kept")], True)


def test_what_never_ran_has_an_empty_page(reader):
    page = reader.read(RUN, "other", 1)
    assert (page.lines, page.next) == ((), 1)


def test_damaged_lines_are_shown_as_they_are():
    assert logs.parse(b"no line of ours \xff\n", 7).text == "no line of ours \ufffd"
    assert logs.parse(b"2026-11-23T09:27:04.000001Z x y\n", 7).stream == "note"
