"""Whether a push starts a run: `on:` of refmill.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from refmill.specs.documents import Documents

BRANCH, TAG = "refs/heads/", "refs/tags/"


def wants(documents: Documents, ref: str, changed: Iterable[str] | None = None) -> bool:
    """Whether a push to the full ref name `ref` starts a run. `changed` are the paths that differ from the last tip,
    if they are known: when `on.skip` covers all of them, none is started."""
    on = documents.pipeline.on
    if ref.startswith(BRANCH):
        wanted = matches(on.branches, ref.removeprefix(BRANCH))
    elif ref.startswith(TAG):
        wanted = matches(on.tags, ref.removeprefix(TAG))
    else:
        wanted = False
    if not wanted or changed is None or not on.skip:
        return wanted
    paths = tuple(changed)
    return not paths or not all(matches(on.skip, path) for path in paths)


def matches(globs: Sequence[str], name: str) -> bool:
    """Whether the last of `globs` that matches `name` is one without a leading `!`."""
    verdict = False
    for glob in globs:
        positive = not glob.startswith("!")
        if positive != verdict and glob_matches(glob if positive else glob[1:], name):
            verdict = positive
    return verdict


def glob_matches(glob: str, name: str) -> bool:
    """`*` stands for anything but “/”, `**` for anything, `**/` also for nothing, `?` for one character but “/”.

    Walks all possible positions in the glob at once: time grows with len(glob) x len(name), whatever the glob.
    """
    parts = _parts(glob)
    positions = _entered(parts, {0})
    for character in name:
        stays: set[int] = set()
        enters: set[int] = set()
        for position in positions:
            part = parts[position] if position < len(parts) else ""
            if part in ("**", "**/") or (part == "*" and character != "/"):
                stays.add(position)
            if part in ("*", "**"):
                continue
            if part == character or (part == "?" and character != "/") or (part == "**/" and character == "/"):
                enters.add(position + 1)
        enters |= {position + 1 for position in stays if parts[position] != "**/"}
        positions = stays | _entered(parts, enters)
        if not positions:
            return False
    return len(parts) in positions


def _parts(glob: str) -> list[str]:
    parts: list[str] = []
    rest = glob
    while rest:
        folders = rest.startswith("**/") and (not parts or parts[-1].endswith("/"))
        part = "**/" if folders else "**" if rest.startswith("**") else rest[0]
        parts.append(part)
        rest = rest[len(part) :]
    return parts


def _entered(parts: list[str], positions: set[int]) -> set[int]:
    """`positions` that were just entered, and those reached from them by letting stars stand for nothing."""
    reached = set(positions)
    for position in positions:
        current = position
        while current < len(parts) and parts[current] in ("*", "**", "**/"):
            current += 1
            reached.add(current)
    return reached
