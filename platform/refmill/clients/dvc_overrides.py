"""`--set-param`: parameter files changed by DVC's own code, so that the same words give the same bytes.

(DVC reads the words in Hydra's grammar of overrides; see dvc.utils.hydra and dvc.repo.experiments.run.)
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides

from refmill import errors
from refmill.clients import files
from refmill.texts import text


def set_params(root: Path, words: Iterable[str]) -> list[str]:
    """Carry out `key=value`, `file:key=value`, `+new=1` and `~old` in the parameter files below `root` (params.yaml
    where none is named); gives the files changed. All files are changed or none. Raises WrongUse, NotFound."""
    wanted = to_path_overrides(words)
    made: dict[Path, Path] = {}
    try:
        for name, overrides in wanted.items():
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
    return list(wanted)


def _inside(root: Path, name: str) -> Path:
    target = (root / name).resolve()
    if not target.is_relative_to(root.resolve()):
        raise errors.WrongUse(text("%(path)s lies outside of the repository", path=name))
    if not target.is_file():
        raise errors.NotFound(
            text("There is no parameter file “%(path)s”", path=name), text("Commit the file, or name another one.")
        )
    return target


def _apply(copy: Path, name: str, overrides: list[str]) -> None:
    try:
        apply_overrides(copy, overrides)
    except (DvcException, ValueError, TypeError, KeyError, AssertionError) as error:
        cause = error.__cause__ or error
        raise errors.WrongUse(
            text("these parameters of %(path)s cannot be set: %(detail)s", path=name,
                 detail=" ".join(str(cause).split())[:300]),
            text("Write -S key=value, -S file:key=value, -S +new.key=value, or -S ~key."),
        ) from error  # fmt: skip
