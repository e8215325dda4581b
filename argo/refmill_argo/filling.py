"""A process of its own that fills in a repository's templates, and reads what comes out: limited in memory, seconds and
size, and without the means to open a file or a connection, or to start another process.

It reads a request as JSON from its standard input, and leaves the answer on its standard output, a file. The rule to
keep: it is given nothing but templates and the context, which holds no secret; and whoever asked believes none of it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from refmill.formats import plainyaml
from refmill_templates import BadTemplate, Overriding, TooLong

MEMORY = 384 << 20
SECONDS, BYTES_A_SECOND = 3, 100_000
"""Of the processor, and for how much of a request there is one more: a run of five thousand stages needs some."""
EACH = 1 << 20
"""Characters of one Workflow, of which Argo takes no mebibyte."""
ANSWER = 64 << 20
"""Bytes of all Workflows of a run."""
OUT_OF_MEMORY = 3
_DETAIL = 300


def main() -> None:
    """Answer the one request."""
    asked = sys.stdin.buffer.read()
    request = json.loads(asked)
    own = Overriding(request["files"], "workflow")
    _rehearse(request["contexts"][:1])
    _confine(SECONDS + len(asked) // BYTES_A_SECOND)
    try:
        answer = _answer(own, request)
        sys.stdout.buffer.write(answer.encode("ascii"))
        sys.stdout.buffer.flush()
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


def _answer(own: Overriding, request: Mapping[str, Any]) -> str:
    found: list[str] = []
    try:
        for made in own.filled(request["contexts"], EACH):
            try:
                found.append(json.dumps(plainyaml.load(made), allow_nan=False))
            except plainyaml.NotPlain as error:
                shown = made.split("\n")[error.line - 1 : error.line] if error.line else []
                return _fault("yaml", line=error.line, detail=error.detail[:_DETAIL], excerpt="".join(shown)[:_DETAIL])
            if sum(map(len, found)) > ANSWER // 2:
                return _fault("too-long")
    except BadTemplate as error:
        return _fault("template", file=error.file, line=error.line, detail=error.detail)
    except TooLong:
        return _fault("too-long")
    except (TypeError, ValueError) as error:  # of JSON: a set, bytes, no number, or a list that holds itself
        return _fault("yaml", detail=str(error)[:_DETAIL])
    except RecursionError:
        return _fault("yaml", detail="too deep")
    return f'{{"documents": [{", ".join(found)}]}}'


def _fault(what: str, **more: Any) -> str:
    return json.dumps({"fault": what, **more})


def _rehearse(contexts: Sequence[Mapping[str, Any]]) -> None:
    """Succeed once, and fail: what Jinja, YAML and Python load for it, they cannot load later."""
    for source in (
        '[% extends "refmill/workflow.yaml.j2" %]',
        "[[ nothing ]]",
        "[% if %]",
        "[[ 1 ]]: [",
        "“é”: \\u00e9",
    ):
        with contextlib.suppress(BadTemplate, plainyaml.NotPlain):
            for made in Overriding({"workflow.yaml.j2": source}, "workflow").filled(contexts, EACH):
                plainyaml.load(made)


def _confine(seconds: int) -> None:
    """From here on strangers' code may be at work."""
    os.environ.clear()
    gc.freeze()
    memory = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    for what, most in (
        (memory, MEMORY),
        (resource.RLIMIT_FSIZE, ANSWER),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (most, most))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 2))  # the first is told from a kill by others


if __name__ == "__main__":
    main()
