"""A program: what DVC itself makes of projects on disk. Reads a list of folders as JSON, writes a list of findings.

Folders are walked by name; DVC takes them as the disk gives them, which differs between disks.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def _sorted_walk(walk: Any) -> Any:
    def walker(*args: Any, **kwargs: Any) -> Any:
        for root, folders, files in walk(*args, **kwargs):
            folders.sort()
            yield root, folders, sorted(files)

    return walker


def main() -> None:
    """Answer what is on standard input."""
    os.walk = _sorted_walk(os.walk)
    answer = sys.stdout
    sys.stdout = sys.stderr
    found = [look(folder) for folder in json.load(sys.stdin)]
    answer.write(json.dumps(found))


def look(folder: str) -> dict[str, Any]:
    """Stages, graph and order as DVC has them, or its words where it refuses the project."""
    from dvc.dependency import ParamsDependency  # noqa: PLC0415 - after os.walk has been replaced
    from dvc.exceptions import DvcException  # noqa: PLC0415
    from dvc.repo import Repo  # noqa: PLC0415
    from dvc.repo.reproduce import get_active_graph, plan_repro  # noqa: PLC0415

    os.chdir(folder)
    try:
        repo = Repo(folder)
        repo.stage_collection_error_handler = None
        graph = repo.index.graph
        order = plan_repro(get_active_graph(graph))
        tops = {
            "metrics": repo.index._metrics,
            "plots": repo.index._plots,
            "params": repo.index._params,
            "artifacts": repo.index._artifacts,
        }
    except DvcException as error:
        return {"error": str(error)}
    stages = {}
    for stage in repo.index.stages:
        if stage.is_data_source:
            continue
        deps = [dep for dep in stage.deps if not isinstance(dep, ParamsDependency)]
        params = [dep for dep in stage.deps if isinstance(dep, ParamsDependency)]
        stages[stage.addressing] = {
            "cmd": stage.cmd,
            "wdir": _rel(stage.wdir, folder),
            "deps": [[dep.def_path, _rel(dep.fs_path, folder)] for dep in deps],
            "params": [[dep.def_path, _rel(dep.fs_path, folder), list(dict.fromkeys(dep.params))] for dep in params],
            "outs": [
                [
                    out.def_path,
                    _rel(out.fs_path, folder),
                    _kind(out),
                    out.use_cache,
                    out.persist,
                    out.can_push,
                    out.remote,
                ]
                for out in stage.outs
            ],
            "frozen": stage.frozen,
            "always_changed": stage.always_changed,
            "desc": stage.desc or "",
            "meta": stage.meta,
        }
    return {
        "stages": stages,
        "order": [stage.addressing for stage in order],
        "upstream": {
            stage.addressing: [up.addressing for up in graph.successors(stage)] for stage in repo.index.stages
        },
        "tops": {key: {_rel(file, folder): value for file, value in found.items()} for key, found in tops.items()},
    }


def _rel(path: str, folder: str) -> str:
    rel = os.path.relpath(path, folder)
    return "" if rel == "." else rel


def _kind(out: Any) -> str:
    return "metric" if out.metric else "plot" if out.plot else "out"


if __name__ == "__main__":
    main()
