"""What DVC makes of a project, asked once and remembered by the project's content and DVC's version.

The answers lie below `.build/oracle` of the checkout; a change of this suite's own code makes them void.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from archive import Project

from warm import Done, Warm

MEMORY = Path(__file__).resolve().parents[2] / ".build" / "oracle"
_SOURCES = ("oracle.py", "archive.py", "../warm.py")
_VERSIONS = ("dvc", "dvc-data", "dvc-objects", "dvc-render", "ruamel.yaml")
_HIDDEN = (".git", ".dvc/tmp", ".dvc/config.local")
_NEWS = re.compile(
    r"^(?:(Running) stage|Stage) '([^']+)'(?::$| (is cached - skipping run, checking out outputs| didn't change))",
    re.MULTILINE,
)

Snapshot = dict[str, str]
"""Every file of a working copy with its owner's rights and content, beside git's and DVC's own notes."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How `dvc repro` ended, what became of each stage (run, restored, unchanged), and what it left."""

    code: int
    stages: dict[str, str]
    files: Snapshot
    said: str

    @property
    def ran(self) -> set[str]:
        """The stages whose command was started."""
        return {name for name, what in self.stages.items() if what == "run"}


def snapshot(root: Path) -> Snapshot:
    """The working copy at `root`."""
    found: Snapshot = {}
    for folder, names, files in os.walk(root):
        here = Path(folder).relative_to(root)
        names[:] = sorted(name for name in names if not _hidden((here / name).as_posix()))
        links = [name for name in names if (Path(folder) / name).is_symlink()]
        for name in [*files, *links]:
            path = (here / name).as_posix()
            if _hidden(path):
                continue
            whole = root / path
            mode = whole.lstat().st_mode
            if stat.S_ISLNK(mode):
                found[path] = f"link {str(whole.readlink()).replace(str(root), 'ROOT')}"
            else:
                found[path] = f"{stat.S_IMODE(mode) & 0o700:o} {whole.read_bytes().decode('latin-1')}"
    return dict(sorted(found.items()))


def _hidden(path: str) -> bool:
    """Whether git or DVC keep it for themselves, in whichever project."""
    return f"/{path}".endswith(tuple(f"/{name}" for name in _HIDDEN))


def named(folder: str, address: str) -> str:
    """A stage of a project in a directory, as this suite calls it."""
    return f"{folder}/{address}" if folder else address


def ignores(path: str) -> bool:
    """Whether a file says what git ignores."""
    return path.rpartition("/")[2] == ".gitignore"


def content(shown: str) -> bytes:
    """The bytes of a file in a snapshot."""
    return shown.partition(" ")[2].encode("latin-1")


def visible(root: Path) -> dict[str, bytes]:
    """What git sees in a working copy that the commit does not have."""
    command = ["git", "-c", "core.quotePath=false", "ls-files", "--others", "--modified", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    return {path: (root / path).read_bytes() for path in listed.split("\0") if path and (root / path).is_file()}


@functools.cache
def _foundation() -> str:
    """The digest of all that every answer depends on."""
    own = [(Path(__file__).parent / name).read_bytes() for name in _SOURCES]
    versions = [importlib.metadata.version(name).encode() for name in _VERSIONS]
    return hashlib.sha256(b"\0".join([*own, *versions])).hexdigest()


class Oracle:
    """DVC with a memory. `dvc` runs its commands; `base` is a folder for working copies."""

    def __init__(self, dvc: Warm, base: Path) -> None:
        self._dvc = dvc
        self._base = base

    def start(self, project: Project, path: Path) -> Path:
        """Put the project, with its one commit, at `path`."""
        self._unpack(self._tree(["start", project.source], lambda root: self._build(project, root)), path)
        return path

    def after(self, project: Project) -> Outcome:
        """What `dvc repro` makes of it."""
        return self._outcome(["after", project.source], project, lambda path: self.start(project, path))

    def done(self, project: Project, path: Path) -> Path:
        """Put the project as it is after `dvc repro` at `path`."""
        self.after(project)
        self._unpack(self._place(["after", project.source], ".tar"), path)
        return path

    def changed(self, project: Project, command: str) -> Outcome:
        """What `dvc repro` makes of it after `command` changed something in the finished project."""

        def prepare(path: Path) -> None:
            shell(command, self.done(project, path))

        return self._outcome(["changed", project.source, command], project, prepare)

    def says(self, command: str, root: Path, folder: str = "") -> Done:
        """What `dvc COMMAND` says in a directory of a working copy. Must change nothing there, or its answer alone may
        count."""
        head = subprocess.run(["git", "rev-parse", "HEAD^{tree}"], cwd=root, check=True, capture_output=True, text=True)
        parts = ["says", command, head.stdout, json.dumps(snapshot(root)), folder]

        def ask() -> dict[str, Any]:
            done = self._dvc.run(shlex.split(command), root / folder)
            names = str(root), "ROOT"
            return {"code": done.code, "stdout": done.stdout.replace(*names), "stderr": done.stderr.replace(*names)}

        return Done(**self._remember(parts, ask))

    def touches(self, command: str, root: Path, folder: str = "") -> list[str]:
        """The files outside of the cache that `dvc COMMAND` changes in a directory of a working copy, which it may leave
        changed or, where its answer is remembered, as it is."""
        before = snapshot(root)

        def ask() -> dict[str, Any]:
            done = self._dvc.run(shlex.split(command), root / folder)
            after = snapshot(root)
            changed = {path for path, what in before.items() ^ after.items() if "/cache/" not in path}
            return {"said": [] if done.code == 0 else [done.stdout + done.stderr], "paths": sorted(changed)}

        answer = self._remember(["touches", command, json.dumps(before), folder], ask)
        return [*answer["said"], *answer["paths"]]

    def _outcome(self, parts: list[str], project: Project, prepare: Callable[[Path], object]) -> Outcome:
        def ask() -> dict[str, Any]:
            with self._copy() as path:
                prepare(path)
                code, said = 0, ""
                found: dict[str, str] = {}
                for folder in project.folders:
                    done = self._dvc.run(["repro", "--all-pipelines", *project.flags], path / folder)
                    found |= {
                        named(folder, name): "run" if running else "restored" if "cached" in rest else "unchanged"
                        for running, name, rest in _NEWS.findall(done.stdout)
                    }
                    code, said = code or done.code, said + done.stdout + done.stderr
                if parts[0] == "after":
                    self._pack(path, self._place(parts, ".tar"))
                return asdict(Outcome(code, found, snapshot(path), said))

        return Outcome(**self._remember(parts, ask))

    def _build(self, project: Project, root: Path) -> None:
        git = functools.partial(subprocess.run, cwd=root, check=True, capture_output=True)
        git(["git", "init", "--quiet", "--template=", "--initial-branch=main"])
        if "" in project.folders:
            done = self._dvc.run(["init", "--quiet"], root)
            assert done.code == 0, done.stderr
        for name, file in project.files.items():
            file.write(root / name)
        for command in project.do:
            if command.startswith("dvc "):
                done = self._dvc.run(shlex.split(command)[1:], root)
                assert done.code == 0, f"{command}: {done.stdout}{done.stderr}"
            else:
                shell(command, root)
        git(["git", "add", "--all"])
        git(["git", "commit", "--quiet", "--allow-empty", "--message", project.name])

    def _tree(self, parts: list[str], build: Callable[[Path], object]) -> Path:
        place = self._place(parts, ".tar")
        if not place.exists():
            with self._copy() as path:
                path.mkdir()
                build(path)
                self._pack(path, place)
        return place

    @contextmanager
    def _copy(self) -> Iterator[Path]:
        folder = Path(tempfile.mkdtemp(dir=self._base))
        yield folder / "copy"
        shutil.rmtree(folder)

    def _pack(self, root: Path, place: Path) -> None:
        def wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
            name = member.name.removeprefix("./")
            return None if _hidden(name) and name != ".git" else member

        with self._new(place) as new, tarfile.open(new, "w") as archive:
            archive.add(root, ".", filter=wanted)

    @staticmethod
    def _unpack(place: Path, path: Path) -> None:
        with tarfile.open(place) as archive:
            archive.extractall(path, filter="fully_trusted")

    def _remember(self, parts: list[str], ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        place = self._place(parts, ".json")
        if not place.exists():
            answer = ask()
            with self._new(place) as new:
                new.write_text(json.dumps(answer))
        found: dict[str, Any] = json.loads(place.read_text())
        return found

    @staticmethod
    def _place(parts: list[str], ending: str) -> Path:
        key = hashlib.sha256(json.dumps([_foundation(), *parts]).encode()).hexdigest()
        return MEMORY / key[:2] / (key[2:] + ending)

    @staticmethod
    @contextmanager
    def _new(place: Path) -> Iterator[Path]:
        place.parent.mkdir(parents=True, exist_ok=True)
        new = place.with_name(f"{place.name}.{os.getpid()}")
        yield new
        new.replace(place)


def shell(command: str, root: Path) -> None:
    """A line of shell in a working copy; it must succeed."""
    done = subprocess.run(["sh", "-ec", command], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
