"""Foreign text on a terminal: it may be coloured, and does nothing else to it."""

import pytest

from refmill_web.escapes import RESET, harmless


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("plain\twords\n", "plain\twords\n"),
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b[31mred\x1b[m", "\x1b[31mred\x1b[m"),
        ("\x1b[38:5:4mred", "\x1b[38:5:4mred" + RESET),
        ("\x1b[2J\x1b[1;1H\x1b[?1049hcleared", "cleared"),
        ("\x1b[>4;1mkeys", "keys"),
        ("\x1b[!preset \x1b[ qcursor", "reset cursor"),
        ("\x1b]0;title\x07after\x1b]8;;http://evil\x1b\\link", "afterlink"),
        ("\x1b]0;title␇after", "after"),
        ("\x1b]52;c;aGVsbG8=", "52;c;aGVsbG8="),
        ("\x1bPdevice\x1b\\ \x1b_app\x1b\\ \x1bcreset \x1b(0lines", "  reset lines"),
        ("\x9b2Jeight bits\x9d0;x\x07", "�2Jeight bits�0;x␇"),
        ("over\rwritten\x08\x00\x7f", "over␍written␈␀␡"),
        ("\x1b", "␛"),
        ("\x1b[", "␛["),
    ],
)
def test_only_colours_are_left(said: str, shown: str) -> None:
    assert harmless(said) == shown
    assert harmless(shown) == shown
