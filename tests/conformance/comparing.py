"""What Refmill makes of a project, in a form that can be held against DVC's."""

from __future__ import annotations

import difflib
import json
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oracle import Snapshot, content
from warm import Done, Warm

from platforms import Copy, Platform, wait
from refmill.formats import yamlfile

OVER = {"succeeded", "failed", "stopped", "superseded", "nothing"}


@dataclass(frozen=True, slots=True)
class Course:
    """How `refmill run` ended, and what became of each stage (succeeded, cached, failed, skipped, blocked)."""

    done: Done
    stages: dict[str, str]

    @property
    def ran(self) -> set[str]:
        """The stages whose command was started."""
        return {name for name, what in self.stages.items() if what in ("succeeded", "failed")}


class Refmill:
    """The `refmill` command in working copies."""

    def __init__(self, ready: Warm) -> None:
        self._ready = ready

    def run(self, root: Path, *flags: str) -> Course:
        """`refmill run -j3`."""
        done = self._ready.run(["run", "-j3", "--json", *flags], root)
        stages = json.loads(done.stdout)["stages"] if done.stdout.startswith("{") else {}
        return Course(done, stages)

    def plan(self, root: Path) -> dict[str, str]:
        """The verdicts of `refmill plan`: run, cached, later, blocked."""
        done = self._ready.run(["plan", "--json"], root)
        assert done.code == 0, done.stderr
        return {stage["name"]: stage["verdict"] for stage in json.loads(done.stdout)["stages"]}

    def problems(self, root: Path) -> list[dict[str, Any]]:
        """What `refmill validate` finds, warnings too."""
        found: list[dict[str, Any]] = json.loads(self._ready.run(["validate", "--json"], root).stdout)
        return found


def differences(ours: Snapshot, theirs: Snapshot, but: Callable[[str], bool] | None = None) -> str:
    """A text that shows how two snapshots differ, `but` for some files; "" if they do not."""
    found: list[str] = []
    for path in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(path), theirs.get(path)
        if mine == other or (but and but(path)) or (mine and other and _same_memory(path, mine, other)):
            continue
        found.append(f"{path}: by DVC (-), by Refmill (+)")
        found += list(difflib.unified_diff(_lines(other), _lines(mine), lineterm="", n=2))[2:40]
    return "\n".join(found)


def _same_memory(path: str, mine: str, other: str) -> bool:
    """The run-cache's entries go by their values: DVC writes them as YAML, which JSON is too."""
    return path.startswith(".dvc/cache/runs/") and _entry(mine) == _entry(other)


def _entry(shown: str) -> Any:
    return yamlfile.load(content(shown), "entry")


def _lines(shown: str | None) -> list[str]:
    return [] if shown is None else content(shown).decode("utf-8", "replace").splitlines()


@dataclass(frozen=True, slots=True)
class Pushed:
    """A project that has been pushed to `platform` as alice's repository `name`."""

    platform: Platform
    copy: Copy
    name: str

    def ended(self) -> dict[str, str]:
        """The status of its run as `""`, and of each stage by its address, as soon as the run is over.

        The database is read, because a command to ask takes longer than most of the runs.
        """
        row = wait(self._over, f"{self.name} ends; {self.platform.log()[-3000:]}")
        stages = self._query("SELECT address, status FROM stage_attempts WHERE run_id = ? ORDER BY attempt", row[0])
        return {"": row[1]} | {address.decode(): status for address, status in stages}

    def recorded(self) -> dict[str, bytes]:
        """What the run's experiment adds to the commit."""
        self.copy.git("fetch", "--quiet", "origin", "refs/exps/*:refs/exps/*")
        ref = self.copy.git("for-each-ref", "--format=%(refname)", "refs/exps").stdout.strip()
        if not ref:
            return {}
        listed = self.copy.git("diff", "--no-renames", "--name-only", "-z", "main", ref).stdout
        return {path: self.copy.bytes_of("git", "show", f"{ref}:{path}") for path in listed.split("\0") if path}

    def stored(self) -> set[str]:
        """Objects and entries of the run-cache in the platform's store, as paths in DVC's layout."""
        ((identity,),) = self._query("SELECT id FROM repositories WHERE name = ?", self.name)
        root = self.platform.data / "objects" / "r" / identity
        found = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        return {path for path in found if path.startswith(("files/", "runs/"))}

    def _over(self) -> tuple[str, str] | None:
        rows = self._query(
            "SELECT runs.id, runs.status FROM runs JOIN repositories ON repository_id = repositories.id WHERE name = ?",
            self.name,
        )
        return next((row for row in rows if row[1] in OVER), None)

    def _query(self, statement: str, *values: str) -> list[Any]:
        database = sqlite3.connect(f"file:{self.platform.data / 'refmill.db'}?mode=ro", uri=True)
        try:
            return database.execute(statement, values).fetchall()
        finally:
            database.close()


def push(platform: Platform, root: Path, name: str, dvc: Warm) -> Pushed:
    """Push the project at `root`; what it has in its cache is there before the commit that needs it."""
    copy = Copy(root)
    copy.git("remote", "add", "origin", platform.url(f"alice/{name}", "alice"))
    if any((root / ".dvc" / "cache" / "files").rglob("*")):
        nothing = copy.git("hash-object", "-t", "tree", "-w", os.devnull).stdout.strip()
        first = copy.git("commit-tree", nothing, "-m", "make the repository").stdout.strip()
        copy.git("push", "--quiet", "-o", "refmill.skip", "origin", f"{first}:refs/heads/empty")
        section = {"url": platform.url(f"alice/{name}", None, ".dvc"), "auth": "basic", "user": "alice",
                   "password": platform.user("alice")}  # fmt: skip
        lines = [
            "[core]",
            "remote = refmill",
            "['remote \"refmill\"']",
            *(f"{key} = {section[key]}" for key in section),
        ]
        (root / ".dvc" / "config.local").write_text("\n".join(lines) + "\n")
        done = dvc.run(["push", "--quiet"], root)
        assert done.code == 0, done.stderr
    copy.git("push", "--quiet", "origin", "main")
    return Pushed(platform, copy, name)


def entries(root: Path) -> set[str]:
    """Objects and entries of the run-cache in a working copy's cache, as paths in DVC's layout."""
    cache = root / ".dvc" / "cache"
    return {path.relative_to(cache).as_posix() for path in cache.rglob("*") if path.is_file()}
