"""What programs print, made harmless: colours become class names, everything else that controls a terminal goes."""

import pytest

from refmill.ports.logs import LogLine
from refmill_web.logview import SHOWN_CHARACTERS, row


def pieces(text: str) -> list[tuple[str, str]]:
    return [(piece["c"], piece["t"]) for piece in row(LogLine(1, 0, "out", text))["p"]]


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("plain", [("", "plain")]),
        ("\x1b[31mred\x1b[0m and \x1b[1;92mbold green\x1b[m", [("f1", "red"), ("", " and "), ("a1 f10", "bold green")]),
        ("\x1b[38;5;4mblue\x1b[39m \x1b[38;2;1;2;3mrgb", [("f4", "blue"), ("", " "), ("", "rgb")]),
        ("\x1b[41mred ground\x1b[49m", [("b1", "red ground")]),
        ("\x1b[2J\x1b[1;1Hcleared", [("", "cleared")]),
        ("\x1b]0;title\x07after\x1b]8;;http://evil\x1b\\link", [("", "after"), ("", "link")]),
        ("bell\x07 and nul\x00", [("", "bell"), ("", " and nul")]),
        ("\x1b[999999999999999999999m odd", [("", " odd")]),
        ("tab\tstays", [("", "tab\tstays")]),
        ("\x1b[", [("", "[")]),
    ],
)
def test_colours(printed: str, shown: list[tuple[str, str]]) -> None:
    assert pieces(printed) == shown


def test_a_very_long_line_is_cut_with_a_remark() -> None:
    shown = pieces("x" * (SHOWN_CHARACTERS + 7))
    assert len(shown[0][1]) == SHOWN_CHARACTERS
    assert shown[1] == ("dim", " … +7")


@pytest.mark.parametrize(
    ("line", "trouble"),
    [
        ("ValueError: no such column", True),
        ("Traceback (most recent call last):", True),
        ("UserWarning: feature names", True),
        ("errors so far: 0", False),
        ("an Error in the middle of words", False),
    ],
)
def test_trouble_is_marked(line: str, trouble: bool) -> None:
    assert row(LogLine(1, 0, "err", line))["w"] is trouble
