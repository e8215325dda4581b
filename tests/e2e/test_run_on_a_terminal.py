"""`refmill run` on a terminal: lines above a table that is drawn anew all the time."""

import re
import sys
from pathlib import Path

from platforms import REFMILL, new_copy
from terminals import INTERRUPT, typed

TALKS = """\
import sys, time
for number in range({lines}):
    print("epoch", number, flush=True)
    time.sleep(0.003)
open("o" + sys.argv[1], "w").write("x")
"""
STAGES = f"""\
stages:
  a:
    foreach: [1, 2, 3]
    do:
      cmd: {sys.executable} talks.py ${{item}}
      deps: [talks.py]
      outs: ['o${{item}}']
"""


def chatty(path: Path, lines: int) -> Path:
    """Three stages that print at the same time."""
    return new_copy(path / "chatty", {"dvc.yaml": STAGES, "talks.py": TALKS.format(lines=lines)}).path


def test_stages_that_print_all_at_once_come_to_their_end(tmp_path: Path) -> None:
    copy = chatty(tmp_path, 700)
    code, shown = typed([str(REFMILL), "run", "-j", "3"], copy)
    assert code == 0
    assert shown.count(b"epoch 699") >= 3
    assert b"\x1b[?25h" in shown, "the cursor is there again"
    first, told, _ = shown.partition(b"3 have not run here before")
    assert told, shown[:2000]
    assert b" left" not in first, "nobody knows when it is over"

    (copy / "talks.py").write_text(TALKS.format(lines=701))
    code, shown = typed([str(REFMILL), "run", "-j", "3"], copy)
    assert code == 0
    assert re.search(rb"about \d[^\r\n]* left", shown), "the first run tells how long it takes"
    assert b"not run here before" not in shown


STEERS = """\
import time
for _ in range(20):
    print("\\x1b]52;c;aGVsbG8=\\x07\\x1b]0;title\\x07\\x1b[2J[/no] [bold]words\\x1b[32m green", flush=True)
    time.sleep(0.1)
"""


def test_what_a_command_prints_colours_the_terminal_and_does_not_steer_it(tmp_path: Path) -> None:
    stages = f"stages:\n  steers: {{cmd: {sys.executable} steers.py}}\n"
    copy = new_copy(tmp_path / "steers", {"dvc.yaml": stages, "steers.py": STEERS})
    code, shown = typed([str(REFMILL), "run"], copy.path)
    assert code == 0, shown
    assert b"[/no] [bold]words" in shown
    assert b"\x1b[32m green" in shown
    assert b"\x1b]" not in shown
    assert b"\x1b[2J" not in shown


def test_ctrl_c_ends_stages_that_print_and_the_next_run_goes_on(tmp_path: Path) -> None:
    copy = chatty(tmp_path, 3000)
    code, shown = typed([str(REFMILL), "run", "-j", "3"], copy, keys={b"epoch 100": INTERRUPT}, seconds=40)
    assert code == 130
    assert b"stopped" in shown
    assert b"\x1b[?25h" in shown
    assert not list(copy.glob("o?"))
    (copy / "talks.py").write_text(TALKS.format(lines=3))
    assert typed([str(REFMILL), "run"], copy)[0] == 0
    assert len(list(copy.glob("o?"))) == 3
