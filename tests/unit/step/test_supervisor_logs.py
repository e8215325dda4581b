"""What commands print, however odd, as lines of the log."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import refmill
from refmill.engine import logs
from refmill.step import output

SCRIPT = Path(refmill.__file__).parent / "step" / "supervisor.py"
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z [oesOE] ")


@pytest.fixture
def printed(tmp_path):
    """The log's lines of a Python program's output."""

    def run(program: str, **spec) -> list[tuple[str, str]]:
        command = [sys.executable, "-c", "import os, sys, time\n" + program]
        spec = {"commands": [{"argv": command, "shown": "x"}], "cwd": "/", "env": dict(os.environ), **spec}
        (tmp_path / "spec.json").write_text(json.dumps(spec))
        subprocess.run([sys.executable, "-I", "-S", SCRIPT, tmp_path / "spec.json"], check=True, timeout=60)
        lines = (tmp_path / "log").read_bytes().decode("utf-8").split("\n")
        assert lines.pop() == ""
        assert all(LINE.match(line) for line in lines)
        return [(line[28], line[30:]) for line in lines][1:]

    return run


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        pytest.param(b"a\nb", ["a", "b"], id="no-newline-at-the-end"),
        pytest.param(b"a\r\nb\r\n", ["a", "b"], id="dos"),
        pytest.param(b"1%\r50%\r100%\ndone\n", ["100%", "done"], id="progress-bar"),
        pytest.param(b"1%\r", ["1%"], id="progress-bar-unfinished"),
        pytest.param(b"\xff\xfe caf\xc3\xa9\n", ["\ufffd\ufffd café"], id="invalid-utf-8"),
        pytest.param(b"a\0b\x07\x9b\n", ["a␀b␇\ufffd"], id="control-characters"),
        pytest.param(b"\x1b[31mred\x1b[0m\tx\n", ["\x1b[31mred\x1b[0m\tx"], id="colours-stay"),
        pytest.param("a\u2028b\u0085c\n".encode(), ["a\ufffdb\ufffdc"], id="line-separators"),
        pytest.param(b"\n\n", ["", ""], id="empty-lines"),
    ],
)
def test_odd_output_becomes_lines(printed, data, lines):
    assert printed(f"os.write(1, {data!r})") == [("o", line) for line in lines]


def test_both_streams_are_told_apart(printed):
    assert sorted(printed("os.write(1, b'out\\n'); os.write(2, b'err\\n')")) == [("e", "err"), ("o", "out")]


def test_a_character_torn_between_two_writes_is_whole(printed):
    assert printed("os.write(1, b'\\xc3'); time.sleep(0.2); os.write(1, b'\\xa9\\n')") == [("o", "é")]


def test_an_unfinished_line_can_be_seen_before_its_end(printed):
    lines = printed("os.write(1, b'Downloading '); time.sleep(1.6); os.write(1, b'done\\n')")
    assert lines == [("O", "Downloading "), ("o", "Downloading done")]


def test_a_line_of_100_megabytes_is_cut_into_pieces(printed):
    lines = printed("[os.write(1, '€'.encode() * 333_333) for _ in range(100)]", log_limit=300 << 20)
    text = "".join(line for _, line in lines)
    assert len(text) == 33_333_300
    assert text.count("€") == len(text)
    assert max(len(line.encode()) for _, line in lines) <= output.PIECE


def test_the_middle_of_endless_output_is_left_out(printed):
    lines = printed("[print(i, 'x' * 90) for i in range(100_000)]", log_limit=1 << 20)
    assert lines[0][1].startswith("0 x")
    assert lines[-1][1].startswith("99999 x")
    [remark] = [line for letter, line in lines if letter == "s"]
    assert re.fullmatch(r"the output is longer than 1 MiB: \d+ lines are left out here", remark)
    assert int(re.search(r": (\d+) lines", remark)[1]) == 100_000 - (len(lines) - 1)


def test_pages_of_a_log(tmp_path, printed):
    printed("[print(i, flush=True) for i in range(10)]; os.write(1, b'50%\\r'); time.sleep(1.5); print('100%')")
    path = tmp_path / "log"
    page = logs.read(path, start=2, limit=3)
    assert [(line.number, line.text) for line in page.lines] == [(2, "0"), (3, "1"), (4, "2")]
    assert (page.next, page.complete) == (5, False)
    page = logs.read(path, start=-2, complete=True)
    assert [(line.text, line.partial, line.stream) for line in page.lines] == [
        ("50%", True, "out"),
        ("100%", False, "out"),
    ]
    assert page.complete
    assert logs.read(tmp_path / "none", start=7).next == 7
    assert abs(page.lines[-1].time / 1e6 - path.stat().st_mtime) < 1


def test_following_sees_each_line_once(tmp_path):
    path = tmp_path / "log"
    head = b"2026-11-23T09:27:04.000001Z o "
    pieces = iter([head + b"a\n" + head + b"b", b"\n", b"", head + b"c\n"])

    def ended() -> bool:
        piece = next(pieces, None)
        with path.open("ab") as file:
            file.write(piece or b"")
        return piece is None

    found = [line for lines in logs.follow(path, ended, poll=0) for line in lines]
    assert [(line.number, line.text) for line in found] == [(1, "a"), (2, "b"), (3, "c")]
