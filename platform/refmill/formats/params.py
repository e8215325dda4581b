"""Parameter files: their values as DVC reads them, and the keys that a stage names in them.

The rule to keep: nothing of a parameter file is ever executed, Python files neither.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from refmill.errors import Invalid
from refmill.formats import hashing, pyparams, yamlfile
from refmill.problems import Place, Problem
from refmill.texts import Text, text


def load(data: bytes, file: str) -> Any:
    """The values in the parameter file `file`, by its ending as DVC goes by it; YAML if it says nothing.

    Raises Invalid for a file that cannot be read.
    """
    return _LOADERS.get(PurePosixPath(file).suffix.lower(), yamlfile.load)(data, file)


def select(values: Any, keys: Iterable[str]) -> dict[str, Any]:
    """The values of `keys` ("train.lr", "layers.0", "train.*") as they stand in dvc.lock; without keys, all values.

    A key is left out if it names nothing, or more than one thing (dpath.get, which DVC uses).
    """
    wanted = list(dict.fromkeys(keys))
    if not wanted:
        return dict(values) if isinstance(values, dict) else {}
    chosen: dict[str, Any] = {}
    for key in wanted:
        pattern = key.lstrip(".").split(".")
        found = list(islice(_matches(values, pattern, top=True), 2)) if pattern.count("**") <= 1 else []
        if len(found) == 1:
            chosen[key] = found[0]
    return chosen


def names(values: Any, prefix: str = "") -> Iterator[str]:
    """Every key that can be named, with its dots: what holds others before what it holds."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield f"{prefix}{key}"
            yield from names(value, f"{prefix}{key}.")


def recordable(values: Mapping[str, Any], file: str) -> dict[str, Any]:
    """`values` out of `file` as dvc.lock has them: tuples of Python are lists.

    Raises Invalid where Python has something that DVC cannot record: a set, bytes, a complex number.
    """
    if not file.lower().endswith(".py"):
        return dict(values)
    plain = {key: _without_tuples(value) for key, value in values.items()}
    for key, value in plain.items():
        try:
            hashing.dict_sha256({key: value})
        except (TypeError, ValueError) as error:
            message = text("DVC cannot record the parameter “%(key)s”: %(detail)s", key=key[:80], detail=str(error))
            remedy = text("Use numbers, texts, lists, and mappings with texts as keys.")
            raise Invalid([Problem("params-value", Place(file), message, remedy)]) from error
    return plain


def _without_tuples(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_without_tuples(item) for item in value]
    return {key: _without_tuples(item) for key, item in value.items()} if isinstance(value, dict) else value


def _matches(value: Any, pattern: list[str], *, top: bool = False) -> Iterator[Any]:
    if not pattern:
        yield value
        return
    first, rest = pattern[0], pattern[1:]
    if first == "**":  # any number of levels, none too, but never the file as a whole
        if rest:
            yield from _matches(value, rest)
        elif not top:
            yield value
        for _, item in _items(value):
            yield from _matches(item, pattern)
        return
    if isinstance(value, Mapping) and not any(char in first for char in "*?[") and first in value:
        # The usual case; only a number as a key could match the same word a second time.
        yield from _matches(value[first], rest)
        yield from (
            found
            for name, item in value.items()
            if not isinstance(name, str) and _is_called(name, first, 0)
            for found in _matches(item, rest)
        )
        return
    for name, item in _items(value):
        if _is_called(name, first, len(value) if isinstance(value, list | tuple) else 0):
            yield from _matches(item, rest)


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return value.items()
    return enumerate(value) if isinstance(value, list | tuple) else ()


def _is_called(name: Any, pattern: str, length: int) -> bool:
    """Whether `pattern` names the key `name`; in a list of `length` items numbers may count from the end."""
    if isinstance(name, int):
        try:
            number = int(pattern)
        except ValueError:
            return fnmatchcase(str(name), pattern)
        return number == name or (length > 0 and number + length == name)
    return isinstance(name, str) and fnmatchcase(name, pattern)


def _json(data: bytes, file: str) -> Any:
    try:
        return json.loads(_utf8(data, file)) or {}
    except json.JSONDecodeError as error:
        place = Place(file, error.lineno, error.colno)
        raise _invalid(
            "params-syntax", place, data, text("This is not valid JSON: %(detail)s", detail=error.msg)
        ) from error
    except RecursionError as error:
        message = text("The values are nested too deep")
        raise _invalid("params-syntax", Place(file), data, message) from error
    except ValueError as error:  # a number of more digits than Python reads
        message = text("This is not valid JSON: %(detail)s", detail=str(error))
        raise _invalid("params-syntax", Place(file), data, message) from error


def _toml(data: bytes, file: str) -> Any:
    try:
        return tomllib.loads(_utf8(data, file))
    except tomllib.TOMLDecodeError as error:
        message, _, where = str(error).partition(" (at ")
        numbers = [int(word) for word in where.rstrip(")").replace(",", "").split() if word.isdigit()]
        place = Place(file, *numbers) if len(numbers) == 2 else Place(file, data.count(b"\n") + 1, 1)
        raise _invalid(
            "params-syntax", place, data, text("This is not valid TOML: %(detail)s", detail=message)
        ) from error
    except RecursionError as error:
        message_ = text("The values are nested too deep")
        raise _invalid("params-syntax", Place(file), data, message_) from error
    except ValueError as error:
        message_ = text("This is not valid TOML: %(detail)s", detail=str(error))
        raise _invalid("params-syntax", Place(file), data, message_) from error


def _python(data: bytes, file: str) -> Any:
    try:
        return pyparams.load(_utf8(data, file).replace("\r\n", "\n").replace("\r", "\n"))
    except pyparams.Unreadable as error:
        place = Place(file, error.line, error.column if error.line else 0)
        message = text("This is not valid Python: %(detail)s", detail=error.detail)
        raise _invalid("params-syntax", place, data, message) from error


def _utf8(data: bytes, file: str) -> str:
    if len(data) > yamlfile.MAX_BYTES:
        message = text("The file is larger than %(limit)s bytes", limit=yamlfile.MAX_BYTES)
        raise _invalid("params-syntax", Place(file), b"", message)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _invalid("encoding", Place(file, line, 1), data, text("The file is not valid UTF-8")) from error


def _invalid(kind: str, place: Place, data: bytes, message: Text) -> Invalid:
    remedy = text("Mend the file so that the program which reads it can load it.")
    return Invalid([Problem(kind, place, message, remedy, yamlfile.excerpt(data, place.line))])


_LOADERS: dict[str, Callable[[bytes, str], Any]] = {".json": _json, ".toml": _toml, ".py": _python}
