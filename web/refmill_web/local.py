"""A DVC project in a working copy: what `refmill validate`, `plan` and `run` work on, without any server."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from refmill import errors
from refmill.clients import dvc_config
from refmill.clients.objects import DirectoryObjects, DirectoryRunCache
from refmill.clients.resolver.inprocess import DirectResolver
from refmill.clients.worktree import WorkTree
from refmill.model.pipelines import Pipeline
from refmill.plans.decide import Memory
from refmill.ports.resolver import Checked, Source
from refmill.ports.trees import Tree
from refmill.settings import Settings
from refmill.texts import text
from refmill_repos.trees import tree_factory


@dataclass(frozen=True, slots=True)
class Project:
    """A project's directory, its files (of the working copy, or of a commit), and what was found in them."""

    root: Path
    tree: Tree
    checked: Checked
    cache: dvc_config.DvcConfig

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline. Raises Invalid with every problem if the files cannot work."""
        if self.checked.pipeline is None or self.checked.errors:
            raise errors.Invalid(self.checked.problems)
        return self.checked.pipeline

    @property
    def memory(self) -> Memory:
        """DVC's own cache and run-cache of the working copy."""
        # As durable as DVC's own writes: the sources are here, a power cut costs a run and no data.
        objects = DirectoryObjects(self.cache.cache, durable=False)
        return Memory(objects, DirectoryRunCache(self.cache.cache, durable=False), self.tree)


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
        raise errors.WrongUse(
            text("%(path)s is in no DVC project: there is no .dvc folder and no dvc.yaml", path=str(path)),
            text("Go into one, or start one with `refmill init pipeline`."),
        )
    return candidate


def open_project(path: Path, rev: str | None = None) -> Project:
    """The project at `path`, as it stands there or at the commit that `rev` names."""
    root = find_root(path)
    open_tree = tree_factory(lambda source: WorkTree(source.path))
    source = Source(root) if rev is None else _at(root, rev)
    checked = DirectResolver(open_tree, max_stages=Settings().max_stages).check(source)
    return Project(root, open_tree(source), checked, dvc_config.read(root))


def _at(root: Path, rev: str) -> Source:
    """A commit of the repository that the project lies in. Raises NotFound."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise errors.NotFound(text("there is no commit “%(rev)s” here", rev=rev))
        return done.stdout.strip()

    commit = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}")
    folder = Path(git("rev-parse", "--absolute-git-dir"))
    project = root.relative_to(git("rev-parse", "--show-toplevel")).as_posix()
    return Source(folder, commit, "" if project == "." else project)
