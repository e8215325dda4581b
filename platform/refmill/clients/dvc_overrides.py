"""`--set-param`: parameter files changed by DVC's own code, so that the same words give the same bytes.

(DVC reads the words in Hydra's grammar of overrides; see dvc.utils.hydra and dvc.repo.experiments.run.)
"""

from __future__ import annotations

import posixpath
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps

from refmill import errors
from refmill.clients import files
from refmill.clients.overlays import Overlay
from refmill.formats import params
from refmill.ports.resolver import Checked
from refmill.ports.trees import Tree
from refmill.problems import Place, Problem
from refmill.specs import existing
from refmill.texts import Text, text

PARAMS = "params.yaml"
"""The file of words that name none."""
UNMERGED = "Error merging override"
"""Hydra's words for a value that it could read and not put in place, as several values for one parameter."""
REMEDY = text("Write -S key=value, -S file:key=value, -S +new.key=value, or -S ~key.")
KINDS = (".yaml", ".yml", ".json", ".toml", ".py")
"""Endings of parameter files."""
NOT_PARAMETERS = ("dvc.yaml", "refmill.yaml")
MAX_BYTES = 8 << 20
MAX_NAMES = 2000
"""Parameters among which a similar one is looked for."""
_PLAIN = re.compile(r"[\w-]+(\.[\w-]+)*")
"""The words for a parameter that name one, and nothing else of Hydra's grammar."""


def set_params(root: Path, words: Iterable[str]) -> list[str]:
    """Carry out `key=value`, `file:key=value`, `+new=1` and `~old` in the parameter files below `root` (params.yaml
    where none is named); gives the files changed. All files are changed or none. Raises WrongUse, NotFound."""
    files_of = to_path_overrides(words)
    made: dict[Path, Path] = {}
    try:
        for name, overrides in files_of.items():
            target = _inside(root, name)
            copy = target.with_name(f".refmill-{target.stem}{target.suffix}")
            made[target] = copy
            shutil.copyfile(target, copy)
            _apply(copy, name, overrides)
        for target, copy in made.items():
            shutil.copymode(target, copy)
            files.sync(copy)
            copy.replace(target)
    finally:
        for copy in made.values():
            copy.unlink(missing_ok=True)
    return list(files_of)


def overridden(tree: Tree, words: Iterable[str]) -> dict[str, bytes]:
    """The parameter files that `words` change, by path, as they are then; `tree` stays as it is. Raises WrongUse,
    NotFound, LimitExceeded."""
    found: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory(prefix="refmill-") as folder:
        for name, overrides in wanted(words).items():
            copy = Path(folder, posixpath.basename(name))
            if tree.entry(posixpath.normpath(name)) is None:
                raise _absent(name)
            copy.write_bytes(tree.read(posixpath.normpath(name), MAX_BYTES))
            _apply(copy, name, overrides)
            found[posixpath.normpath(name)] = copy.read_bytes()
    return found


def wanted(words: Iterable[str]) -> dict[str, list[str]]:
    """What is asked of each file. Raises WrongUse for words that no file could take."""
    found: dict[str, list[str]] = to_path_overrides(words)
    for name in found:
        if Path(name).suffix.lower() not in KINDS or posixpath.basename(name) in NOT_PARAMETERS:
            raise _bad(name, text("no parameter file has such a name"))
    return found


def checked(tree: Tree, words: Iterable[str], check: Callable[[Tree], Checked]) -> Checked:
    """What `check` says of the files with their parameters changed; a fault in the words is a problem."""
    try:
        files = overridden(tree, words)
        changed = {path: data.decode("utf-8") for path, data in files.items()}
    except (errors.RefmillError, UnicodeDecodeError) as error:
        told = error if isinstance(error, errors.RefmillError) else _bad("", _shown(error))
        place = Place(next(iter(to_path_overrides(words)), PARAMS)[:200])
        return Checked(None, problems=(Problem("bad-parameter", place, told.message, told.remedy or REMEDY),))
    return replace(check(Overlay(tree, files)), changed=changed)


def _inside(root: Path, name: str) -> Path:
    target = (root / name).resolve()
    if not target.is_relative_to(root.resolve()):
        raise errors.WrongUse(text("%(path)s lies outside of the repository", path=name))
    if not target.is_file():
        raise _absent(name)
    return target


def _absent(name: str) -> errors.NotFound:
    return errors.NotFound(
        text("There is no parameter file “%(path)s”", path=name[:200]), text("Commit the file, or name another one.")
    )


def _apply(copy: Path, name: str, overrides: list[str]) -> None:
    try:
        apply_overrides(copy, overrides)
    except (DvcException, ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
        _refuse_unknown(copy, name, overrides, error)
        shown = _shown(error.__cause__ or error)
        several = shown.startswith(UNMERGED) and len(get_hydra_sweeps({name: overrides})) > 1
        raise _bad(name, text("one run has one value of each") if several else shown) from error


def _refuse_unknown(copy: Path, name: str, overrides: list[str], error: Exception) -> None:
    """Raise WrongUse if one of the parameters is not in the file."""
    try:
        known = list(islice(params.names(params.load(copy.read_bytes(), name)), MAX_NAMES))
    except errors.Invalid:
        return
    for word in overrides:
        key = word.partition("=")[0].removeprefix("~")
        if not known or key in known or not _PLAIN.fullmatch(key):
            continue
        remedy = existing(key, known, REMEDY)
        if not word.startswith("~"):
            new = f"+{word}" if name == PARAMS else f"{name}:+{word}"
            remedy = text("%(meant)s To add a parameter that is new, write -S %(word)s", meant=remedy, word=new)
        raise errors.WrongUse(
            text("There is no parameter “%(key)s” in %(file)s", key=key[:80], file=name[:200]), remedy
        ) from error


def _shown(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def _bad(name: str, detail: Text | str) -> errors.WrongUse:
    return errors.WrongUse(
        text("these parameters of %(path)s cannot be set: %(detail)s", path=name[:200], detail=detail), REMEDY
    )
