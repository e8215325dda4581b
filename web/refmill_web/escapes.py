"""Control sequences in what a program or a repository says (ECMA-48): colours are a reader's business, everything else
that would steer a terminal or a page is not let through.

The rule to keep: whatever of foreign text goes to a terminal goes through `harmless`.
"""

from __future__ import annotations

import re

SEQUENCE = re.compile(
    r"\x1b\[([0-9;:]*)(m)|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\u2407\x1b]*(?:\x07|\u2407|\x1b\\)"
    r"|\x1b[ -/]*[0-Z\\-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
"""A whole sequence, or a control character by itself but tab and line feed. Group 2 is `m` where it is a colour, whose
codes are group 1. Logs have the sign for BEL in the place of BEL."""
RESET = "\x1b[0m"
_PICTURES = {code: 0x2400 + code for code in range(0x20)} | {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)


def harmless(said: str) -> str:
    """`said` with its colours, which end where it ends, and with no other sequence; a control character by itself
    becomes the sign for it."""
    if SEQUENCE.search(said) is None:
        return said
    shown = SEQUENCE.sub(_kept, said)
    _, colour, last = shown.rpartition("\x1b[")
    return shown + RESET if colour and not last.startswith(("m", "0m")) else shown


def _kept(found: re.Match[str]) -> str:
    whole = found[0]
    if found[2] == "m":
        return whole
    return whole.translate(_PICTURES) if len(whole) == 1 else ""
