"""What Refmill makes of a project, in a form that can be held against DVC's."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archive import Project
from oracle import Outcome, Snapshot, content, named, snapshot, visible

from platforms import OVER, SECONDS, Copy, Platform, wait
from refmill.formats import yamlfile
from refmill.formats.hashing import md5_bytes
from warm import Done, Warm

_LISTING_OF_DVC_2 = re.compile(r"\.dvc/cache/[0-9a-f]{2}/[0-9a-f]{30}\.dir")
"""DVC looks whether a directory still has its name of DVC 2, and keeps that listing; nothing refers to it."""
CLEAN = "Data and pipelines are up to date.\n"


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

    def run_all(self, root: Path, project: Project) -> Course:
        """The same in each of the DVC projects that there are."""
        stages: dict[str, str] = {}
        ends: list[Done] = []
        for folder in project.folders:
            course = self.run(root / folder, *project.flags)
            stages |= {named(folder, address): what for address, what in course.stages.items()}
            ends.append(course.done)
        return Course(next((done for done in ends if done.code), ends[0]), stages)

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
        if mine is None and _LISTING_OF_DVC_2.fullmatch(path):
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
    """A repository that has been pushed to `platform` as alice's repository `name`, with DVC projects in `folders`."""

    platform: Platform
    copy: Copy
    name: str
    folders: tuple[str, ...] = ("",)

    def ended(self, seconds: float = SECONDS) -> dict[str, str]:
        """The status of its runs as `""` (of one that failed, if any did), and of each stage by its address, as soon as
        the run of each of its DVC projects is over."""
        runs = wait(self._over, f"{self.name} ends; {self.platform.log()[-3000:]}", seconds)
        found = {"": next((status for _, _, status in runs if status == "failed"), runs[0][2])}
        for run, folder, _ in runs:
            stages = self.platform.query(
                "SELECT address, status FROM stage_attempts WHERE run_id = ? ORDER BY attempt", run
            )
            found |= {named(folder.decode(), address.decode()): status for address, status in stages}
        return found

    def experiment(self) -> str:
        """The ref of the run's experiment, "" if there is none."""
        self.copy.git("fetch", "--quiet", "origin", "refs/exps/*:refs/exps/*")
        return self.copy.git("for-each-ref", "--format=%(refname)", "refs/exps").stdout.strip()

    def recorded(self) -> dict[str, bytes]:
        """What the runs' experiments add to the commit."""
        found: dict[str, bytes] = {}
        for ref in self.experiment().split():
            listed = self.copy.git("diff", "--no-renames", "--name-only", "-z", "main", ref).stdout
            paths = [path for path in listed.split("\0") if path]
            assert not found.keys() & paths
            found |= {path: self.copy.bytes_of("git", "show", f"{ref}:{path}") for path in paths}
        return found

    def stored(self) -> set[str]:
        """Objects and entries of the run-cache in the platform's store, as paths in DVC's layout."""
        ((identity,),) = self.platform.query("SELECT id FROM repositories WHERE name = ?", self.name)
        root = self.platform.data / "objects" / "r" / identity
        found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
        kept = {path for path in found if path.startswith(("files/", "runs/"))}
        old = {path for path in found if re.fullmatch("[0-9a-f]{2}/.*", path)}
        # What DVC 2 calls as DVC 3 does lies in one place, and has both names.
        return kept | old | {path.removeprefix("files/md5/") for path in kept if path.startswith("files/md5/")}

    def _over(self) -> list[tuple[str, bytes, str]]:
        rows: list[tuple[str, bytes, str]] = self.platform.query(
            "SELECT runs.id, runs.project, runs.status FROM runs JOIN repositories"
            " ON repository_id = repositories.id WHERE name = ?",
            self.name,
        )
        over = [row for row in rows if row[2] in OVER]
        return over if len(over) == len(rows) == len(self.folders) else []


def push(platform: Platform, root: Path, name: str, dvc: Warm, folders: tuple[str, ...] = ("",)) -> Pushed:
    """Push the repository at `root`; what it has in its caches is there before the commit that needs it."""
    pushed = Pushed(platform, Copy(root), name, folders)
    pushed.copy.git("remote", "add", "origin", platform.url(f"alice/{name}", "alice"))
    filled = [root / at for at in folders if any(not path.startswith("runs/") for path in entries(root, (at,)))]
    if filled:
        nothing = pushed.copy.git("hash-object", "-t", "tree", "-w", os.devnull).stdout.strip()
        first = pushed.copy.git("commit-tree", nothing, "-m", "make the repository").stdout.strip()
        pushed.copy.git("push", "--quiet", "-o", "refmill.skip", "origin", f"{first}:refs/heads/empty")
        for place in filled:
            _know_remote(pushed, place)
            done = dvc.run(["push", "--quiet"], place)
            assert done.code == 0, done.stderr
    pushed.copy.git("push", "--quiet", "origin", "main")
    return pushed


def pull(pushed: Pushed, root: Path, dvc: Warm) -> Path:
    """The run's experiment, or what was pushed if nothing ran, in a clone of its own at `root`, with its data by
    `dvc pull`."""
    ref = pushed.experiment()
    pushed.copy.git("clone", "--quiet", "--no-checkout", str(pushed.copy.path), str(root))
    clone = Copy(root)
    clone.git("fetch", "--quiet", "origin", f"{ref or 'refs/heads/main'}:refs/heads/result")
    clone.git("checkout", "--quiet", "result")
    _know_remote(pushed, root)
    done = dvc.run(["pull", "--quiet"], root)
    assert done.code == 0, done.stdout + done.stderr
    return root


def assert_settled(clone: Path, dvc: Warm, told: str = "") -> None:
    """DVC finds nothing to do in a working copy, and changes nothing."""
    assert dvc.run(["status"], clone).stdout == CLEAN, told
    before = snapshot(clone)
    done = dvc.run(["repro", "--all-pipelines"], clone)
    assert (done.code, "Running" in done.stdout) == (0, False), done.stdout + done.stderr + told
    assert snapshot(clone) == before, told


def _know_remote(pushed: Pushed, root: Path) -> None:
    """Make the platform DVC's remote in a working copy."""
    platform = pushed.platform
    section = {"url": platform.url(f"alice/{pushed.name}", None, ".dvc"), "auth": "basic", "user": "alice",
               "password": platform.user("alice")}  # fmt: skip
    lines = ["[core]", "remote = refmill", "['remote \"refmill\"']", *(f"{key} = {section[key]}" for key in section)]
    (root / ".dvc" / "config.local").write_text("\n".join(lines) + "\n")


def assert_as_by_dvc(
    pushed: Pushed, project: Project, wanted: Outcome, reference: Path, before: set[str]
) -> None:  # fmt: skip
    """The runs of a push end as `dvc repro` did, run the same stages, and record what it left in `reference`; `before`
    are the entries of the caches that were there before."""
    ended = pushed.ended()
    if project.code:
        assert ended[""] == "failed"
        failed = {stage for stage, status in ended.items() if status == "failed" and stage}
        assert failed == {stage for stage in wanted.ran if f"failed to reproduce '{stage}'" in wanted.said}
        assert {stage for stage, status in ended.items() if status == "succeeded"} == wanted.ran - failed
        return
    assert ended[""] in {"succeeded", "nothing"}, pushed.platform.log()[-3000:]
    ran = {stage for stage, status in ended.items() if status == "succeeded" and stage}
    if not before:
        assert ran == {stage for stage, what in wanted.stages.items() if what == "run"}
    # The run-cache of earlier runs elsewhere does not travel with a push.
    assert_pushed(pushed, reference, {path for path in before if path.startswith("runs/")} if ran else None)


def assert_pushed(pushed: Pushed, reference: Path, before: set[str] | None, told: str = "") -> None:
    """A push recorded what DVC left in `reference`; the store holds what DVC's cache holds, but for what was there
    `before`, and beyond it only what lives in git. Without `before` the store is not looked at."""
    recorded = pushed.recorded()
    assert recorded == visible(reference), told
    if before is None:
        return
    stored, wanted = pushed.stored(), entries(reference, pushed.folders)
    assert wanted - before - stored == set(), told
    tracked = Copy(reference).git("ls-files", "-z").stdout.split("\0")
    kept = [*recorded.values(), *((reference / path).read_bytes() for path in tracked if (reference / path).is_file())]
    # DVC 2's names are others than those of the content.
    kept += [path.read_bytes() for path in _cached(reference, pushed.folders).values()]
    names = {f"files/md5/{md5[:2]}/{md5[2:]}" for md5 in map(md5_bytes, kept)}
    beyond = {path for path in stored - wanted if path.startswith(("files/", "runs/")) and not path.endswith(".dir")}
    assert beyond - names == set(), told


def entries(root: Path, folders: tuple[str, ...] = ("",)) -> set[str]:
    """Objects and entries of the run-cache in a working copy's caches, as paths in DVC's layout."""
    return set(_cached(root, folders))


def _cached(root: Path, folders: tuple[str, ...]) -> dict[str, Path]:
    caches = [root / folder / ".dvc" / "cache" for folder in folders]
    return {path.relative_to(cache).as_posix(): path for cache in caches for path in cache.rglob("*") if path.is_file()}
