"""Names that come from outside: repository ids, branches, refs. What git allows is wider than what is safe to hold.

Ref rules: git-check-ref-format(1), and of our own: UTF-8, no part begins with "-" (it could be read as an option), no
branch is called HEAD or like a commit's sha (every later `git show NAME` would be ambiguous).
"""

from __future__ import annotations

import re
import unicodedata

from refmill import errors
from refmill.texts import Text, text

SHA = re.compile(r"[0-9a-f]{40}", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\\ud800-\udfff]|\.\.|@\{|//|/\.|\.lock(?:/|\Z)|/-")
MAX_REF = 400
"""Bytes of a ref's name; a file name on disk can hold 255 of them in one part."""


def repository_id(value: str) -> str:
    """`value` if it can name a folder. Raises NotFound."""
    if not _ID.fullmatch(value):
        raise errors.NotFound(text("there is no repository “%(id)s”", id=shown(value, 80)))
    return value


def ref_fault(ref: str) -> Text | None:
    """Why the full ref name `ref` is not taken, or None."""
    name = shown(ref, 120)
    parts = ref.split("/")
    if not ref.startswith("refs/") or len(parts) < 3 or ref.endswith(("/", ".")) or _FORBIDDEN.search(ref):
        return text("%(ref)s: this name is not possible for a ref", ref=name)
    if len(ref.encode()) > MAX_REF or any(len(part.encode()) > 200 for part in parts):
        return text("%(ref)s: the name is too long", ref=name)
    if any(unicodedata.category(letter) in ("Cc", "Cf") for letter in ref):
        return text("%(ref)s: invisible characters are not taken in names", ref=name)
    if parts[1] == "heads" and (parts[2:] == ["HEAD"] or SHA.fullmatch("/".join(parts[2:]))):
        return text("%(ref)s: a branch cannot be called HEAD or like a commit", ref=name)
    return None


def check_ref(ref: str) -> str:
    """`ref` if it is a possible full name. Raises WrongUse."""
    if fault := ref_fault(ref):
        raise errors.WrongUse(fault)
    return ref


def shown(value: str, limit: int = 1000) -> str:
    """One line that is safe on a terminal: control, format and unpaired characters are escaped, the rest is cut."""
    letters = (
        letter
        if letter == "\t" or unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else letter.encode("unicode_escape", "surrogatepass").decode()
        for letter in value[:limit]
    )
    return "".join(letters) + ("…" if len(value) > limit else "")
