"""A project in a working copy: its files, its pipeline, and DVC's own cache. What commands without a server work on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from refmill import errors
from refmill.clients import dvc_config
from refmill.clients.git_ignored import git_ignored
from refmill.clients.objects import DirectoryObjects, DirectoryRunCache
from refmill.clients.overlays import Overlay
from refmill.clients.remembering import Durations, HashMemory, Resolution, ResolutionMemory
from refmill.clients.remembering.resolution import RecordingTree
from refmill.clients.worktree import WorkTree
from refmill.formats.directories import Hasher, hash_file
from refmill.formats.dvcignore import DvcIgnore, reader
from refmill.formats.gitignore import Surroundings
from refmill.model.pipelines import Pipeline
from refmill.model.placement import Allowed
from refmill.plans.decide import Memory
from refmill.plans.projects import surroundings
from refmill.ports.trees import Tree
from refmill.problems import Problem
from refmill.settings import Settings
from refmill.specs import Documents
from refmill.texts import text

SHOWN = 20
"""Projects that a message names."""


@dataclass(frozen=True, slots=True)
class Project:
    """A project's directory, its files (of the working copy, or of a commit), and what was found in them.

    `folder` is where what is remembered lies, None for a project without `.dvc`; `commit` is "" for a working copy.
    """

    root: Path
    tree: Tree
    found: Pipeline | None
    problems: tuple[Problem, ...]
    cache: dvc_config.DvcConfig
    hashes: Hasher = hash_file
    folder: Path | None = None
    commit: str = ""

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that would refuse a push."""
        return tuple(problem for problem in self.problems if not problem.warning)

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline. Raises Invalid with every problem if the files cannot work."""
        if self.found is None or self.errors:
            raise errors.Invalid(self.problems)
        return self.found

    @property
    def memory(self) -> Memory:
        """DVC's own cache and run-cache of the working copy."""
        # As durable as DVC's own writes: the sources are here, a power cut costs a run and no data.
        symbolic = self.cache.links[0] == "symlink"
        objects = DirectoryObjects(self.cache.cache, durable=False, symbolic=symbolic)
        runcache = DirectoryRunCache(self.cache.cache, durable=False)
        return Memory(objects, runcache, self.tree, here=not self.commit, around=_around(self.root))

    @property
    def ignores(self) -> DvcIgnore:
        """What .dvcignore hides."""
        return DvcIgnore(reader(self.tree.read))

    @property
    def durations(self) -> Durations | None:
        """How long stages took here."""
        return Durations(self.folder / "durations.json") if self.folder else None

    def save(self) -> None:
        """Write down what was hashed."""
        if isinstance(self.hashes, HashMemory):
            self.hashes.save()


def _around(root: Path) -> Surroundings:
    """What lies around the project in its git repository."""
    top = _top(root)
    return Surroundings() if top is None else surroundings(WorkTree(top), folder(root))


def folder(root: Path) -> str:
    """Where the project lies in its git repository; "" at the top of it, or in none."""
    top = _top(root)
    return "" if top in (None, root) else root.relative_to(top).as_posix()


def _top(root: Path) -> Path | None:
    return next((place for place in (root, *root.parents) if (place / ".git").exists()), None)


def open_all(path: Path) -> list[tuple[str, Project]]:
    """The project that `path` lies in and those inside of it, or those below `path` where it lies in none; each with
    its directory as seen from the first, nothing remembered used. Raises WrongUse where there are none."""
    try:
        top = find_root(path)
    except errors.WrongUse:
        top = path.absolute()
        if not (below := projects_below(top)):
            raise
    else:
        below = [top, *projects_below(top)]
    return [("" if root == top else root.relative_to(top).as_posix(), open_project(root, anew=True)) for root in below]


def projects_below(root: Path) -> list[Path]:
    """The DVC projects inside of the directory `root`, sorted; not in other git repositories, nor where git ignores."""
    ignored = git_ignored(root)
    found: list[Path] = []
    for folder, names, _ in os.walk(root):
        place = Path(folder)
        inside = place.relative_to(root)
        if place != root and (place / ".git").exists():
            names.clear()
        elif place != root and ".dvc" in names:
            found.append(place)
        names[:] = [
            name for name in names
            if name not in (".git", ".dvc") and not ignored((inside / name).as_posix() + "/")
        ]  # fmt: skip
    return sorted(found)


def find_root(path: Path) -> Path:
    """The project that `path` lies in: the nearest directory with `.dvc` or `dvc.yaml` at or above it, within git's.

    Raises WrongUse if there is none.
    """
    start = path.absolute()
    candidate: Path | None = None
    for folder in (start, *start.parents):
        if (folder / ".dvc").is_dir():
            return folder
        if candidate is None and (folder / "dvc.yaml").is_file():
            candidate = folder
        if (folder / ".git").exists():
            candidate = folder if (folder / "dvc.yaml").is_file() or candidate else candidate
            break
    if candidate is None:
        below = [place.relative_to(start).as_posix() for place in projects_below(start)[:SHOWN]]
        there = text("Go into one of those below it: %(projects)s", projects=", ".join(below))
        raise errors.WrongUse(
            text("%(path)s is in no DVC project: there is no .dvc folder and no dvc.yaml", path=str(path)),
            there if below else text("Go into one, or start one with `refmill init pipeline`."),
        )
    return candidate


def open_project(path: Path, rev: str | None = None, *, anew: bool = False) -> Project:
    """The project at `path`, as it stands there or at the commit that `rev` names; with `anew` nothing remembered is
    used. Raises WrongUse where there is none, NotFound for an unknown commit."""
    root = find_root(path)
    if rev is not None:
        return _at_commit(root, rev)[0]
    folder = root / ".dvc" / "tmp" / "refmill" if (root / ".dvc").is_dir() else None
    hashes: Hasher = HashMemory(folder / "hashes.db") if folder else hash_file
    config = dvc_config.read(root)
    tree = WorkTree(root, hashes, config.cache)
    ignored = git_ignored(root)
    memory = ResolutionMemory(folder / "resolution.json") if folder else None
    if memory is not None and not anew and (kept := memory.recall(tree, ignored)) is not None:
        return Project(root, tree, kept.pipeline, kept.problems, config, hashes, folder)
    found, problems = _resolve(tree, ignored, memory)
    return Project(root, tree, found, problems, config, hashes, folder)


def open_with_params(project: Project, words: Iterable[str]) -> Project:
    """A working copy's project as it would be with parameters changed; no file is. Raises as dvc_overrides does."""
    from refmill.clients import dvc_overrides, dvc_parsing  # noqa: PLC0415 - DVC's parser and Hydra start slowly

    tree = Overlay(project.tree, dvc_overrides.overridden(project.tree, words))
    checked = dvc_parsing.check(tree, max_stages=Settings().max_stages, ignored=git_ignored(project.root))
    return replace(project, tree=tree, found=checked.pipeline, problems=checked.problems)


def open_for_cluster(path: Path, rev: str | None, allowed: Allowed) -> tuple[Project, Documents]:
    """As `open_project`, read as where stages run in containers and `allowed` is what they may ask for; with what
    refmill.yaml says. Raises WrongUse and NotFound."""
    from refmill.clients import dvc_parsing  # noqa: PLC0415 - DVC's parser starts slowly, and other commands do without

    root = find_root(path)
    if rev is not None:
        return _at_commit(root, rev, containers=True, allowed=allowed)
    tree = WorkTree(root, hash_file)
    checked = dvc_parsing.check(
        tree, max_stages=Settings().max_stages, containers=True, ignored=git_ignored(root), allowed=allowed
    )
    return Project(root, tree, checked.pipeline, checked.problems, dvc_config.read(root)), checked.documents


def _resolve(
    tree: Tree, ignored: Callable[[str], bool], memory: ResolutionMemory | None
) -> tuple[Pipeline | None, tuple[Problem, ...]]:
    """Read the project's files, and remember what they say if nothing is wrong with them."""
    from refmill.clients import dvc_parsing  # noqa: PLC0415 - DVC's parser starts slowly, and is often not needed

    recorded, asked = RecordingTree(tree), dict[str, bool]()

    def ask(path: str) -> bool:
        asked[path] = ignored(path)
        return asked[path]

    checked = dvc_parsing.check(recorded, max_stages=Settings().max_stages, ignored=ask)
    if memory is not None and checked.pipeline is not None and not checked.errors:
        files = tuple(path for path in recorded.answers.contents if path.rpartition("/")[2] == "dvc.yaml")
        memory.keep(Resolution(checked.pipeline, checked.problems, files), recorded, asked)
    return checked.pipeline, checked.problems


def _at_commit(
    root: Path, rev: str, *, containers: bool = False, allowed: Allowed | None = None
) -> tuple[Project, Documents]:
    """The project at a commit of the repository that it lies in. Raises NotFound."""
    # libgit2 and DVC's parser start slowly, and the working copy needs neither of them.
    from refmill.clients.resolver.inprocess import DirectResolver  # noqa: PLC0415
    from refmill.ports.resolver import Source  # noqa: PLC0415
    from refmill_repos.trees import GitTree  # noqa: PLC0415

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise errors.NotFound(
                text("there is no commit “%(rev)s” here", rev=rev),
                text("`git log --oneline --all` shows them; a branch or a tag names one, too."),
            )
        return done.stdout.strip()

    commit = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}")
    repository = Path(git("rev-parse", "--absolute-git-dir"))
    folder = root.relative_to(git("rev-parse", "--show-toplevel")).as_posix()
    source = Source(repository, commit, "" if folder == "." else folder)
    tree = GitTree(source.path, source.commit, project=source.project)
    resolver = DirectResolver(lambda _: tree, max_stages=Settings().max_stages, containers=containers, allowed=allowed)
    checked = resolver.check(source)
    project = Project(root, tree, checked.pipeline, checked.problems, dvc_config.read(root), commit=commit)
    return project, checked.documents
