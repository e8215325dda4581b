"""Runs commands of a Python program in forks of a process that has imported it already.

It is the program's own code from `main` on, without the start-up of an interpreter, which takes longer than all that
the small projects of this suite ask for. Started as `python warm.py MODULE FUNCTION READY…`, where READY is a module to
import beforehand, or `module:function` for a function whose answer never changes and may be computed beforehand.
"""

from __future__ import annotations

import functools
import gc
import importlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended, and what it said."""

    code: int
    stdout: str
    stderr: str


class Warm:
    """A program that is ready to run. `environment` is what its commands see beside that of this process."""

    def __init__(self, module: str, function: str, *imports: str, **environment: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, module, function, *imports],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | environment,
        )  # fmt: skip

    def run(self, arguments: Sequence[str], folder: Path) -> Done:
        """A command with these arguments, in this directory."""
        with NamedTemporaryFile() as out, NamedTemporaryFile() as err:
            self._process.stdin.write(json.dumps([list(arguments), str(folder), out.name, err.name]) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
            assert line, f"the process that runs {arguments} is gone"
            return Done(int(line), _text(out), _text(err))

    def stop(self) -> None:
        """End the process; it has no children then."""
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def _serve(main: Callable[[], object], name: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        arguments, folder, out, err = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(_child(main, [name, *arguments], folder, (out, err)))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


def _child(main: Callable[[], object], argv: list[str], folder: str, files: tuple[str, str]) -> int:
    """The command in a fork: as a console script does it, `main` gives the exit code, or raises SystemExit."""
    os.chdir(folder)
    os.environ["PWD"] = folder
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for number, file in enumerate(files, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_APPEND), number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - stays open as long as the process
    sys.argv = argv
    try:
        code = main()
    except SystemExit as ending:
        code = ending.code
    except BaseException:  # noqa: BLE001 - what the interpreter would do with it
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else 0 if code is None else 1


if __name__ == "__main__":
    for wanted in sys.argv[3:]:
        module, _, function = wanted.partition(":")
        found = importlib.import_module(module)
        if function:
            setattr(found, function, functools.cache(getattr(found, function)))
            getattr(found, function)()
    gc.freeze()
    _serve(getattr(importlib.import_module(sys.argv[1]), sys.argv[2]), sys.argv[1].partition(".")[0])
