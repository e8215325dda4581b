"""A project with many shapes, run by `dvc repro`: our lock, run-cache, listings and .gitignore are the same bytes."""

from __future__ import annotations

import posixpath
import shutil
from pathlib import Path
from typing import Any

import pytest

from refmill.clients.objects import DirectoryObjects, DirectoryRunCache
from refmill.formats import blockyaml, directories, gitignore, lockfile, params, runcache, yamlfile
from refmill.formats.hashing import FileHash
from refmill.model.pipelines import Dependency, LockEntry, Output, ParamsDependency, Stage
from refmill.plans.outputs import store_output


def stages(project: Any) -> dict[str, Stage]:
    """The project's stages, read in the simplest way: it has no templates."""
    found = yamlfile.load(project.read("dvc.yaml"), "dvc.yaml")["stages"]
    return {name: stage(name, item) for name, item in found.items()}


def stage(name: str, item: dict[str, Any]) -> Stage:
    wdir = item.get("wdir", "")

    def root(path: str) -> str:
        return posixpath.normpath(posixpath.join(wdir, path))

    outs = []
    for kind, key in (("out", "outs"), ("metric", "metrics"), ("plot", "plots")):
        for out in item.get(key, []):
            path, flags = next(iter(out.items())) if isinstance(out, dict) else (out, {})
            outs.append(
                Output(path, root(path), kind, cache=flags.get("cache", True), persist=flags.get("persist", False))  # type: ignore[arg-type]
            )
    keys: dict[str, list[str]] = {}
    for param in item.get("params", []):
        path, names = next(iter(param.items())) if isinstance(param, dict) else ("params.yaml", [param])
        keys.setdefault(path, []).extend(names)
    return Stage(
        name=name,
        file="dvc.yaml",
        wdir=wdir,
        cmd=item["cmd"] if isinstance(item["cmd"], str) else tuple(item["cmd"]),
        deps=tuple(Dependency(path, root(path)) for path in item.get("deps", [])),
        params=tuple(ParamsDependency(path, root(path), tuple(names)) for path, names in keys.items()),
        outs=tuple(outs),
    )


def hashed(path: Path) -> FileHash:
    return directories.hash_directory(path).hash if path.is_dir() else directories.hash_file(path)


def entry(project: Any, item: Stage, *, outs: bool = True) -> LockEntry:
    values = {
        param.root: params.select(params.load(project.read(param.root), param.root), param.keys)
        for param in item.params
    }
    return lockfile.entry(
        item,
        {dep.root: hashed(project.root / dep.root) for dep in item.deps},
        values,
        {out.root: hashed(project.root / out.root) for out in item.outs} if outs else {},
    )


def test_entries_made_of_the_files_are_the_lock(project: Any) -> None:
    lock = lockfile.parse(project.read("dvc.lock"), "dvc.lock")
    made = {name: entry(project, item) for name, item in stages(project).items()}
    assert made.keys() == lock.stages.keys()
    made = {name: made[name] for name in lock.stages}
    assert lockfile.emit(lockfile.merge(lockfile.Lock(), made)) == project.read("dvc.lock")


def test_the_lock_is_read_as_dvcs_own_form(project: Any) -> None:
    lock = lockfile.parse(project.read("dvc.lock"), "dvc.lock")
    assert not lock.edited
    assert lock.stages == yamlfile.load(project.read("dvc.lock"), "dvc.lock")["stages"]
    assert lockfile.emit(lock) == project.read("dvc.lock")


def test_run_cache_keys_values_and_bodies(project: Any) -> None:
    expected = {}
    for item in stages(project).values():
        whole = entry(project, item)
        if runcache.eligible(item, entry(project, item, outs=False)):
            body = blockyaml.emit(whole) or blockyaml.dump(whole)
            key = runcache.key(whole)
            expected[f"{key[:2]}/{key}/{runcache.value(whole)}"] = body.encode()
    runs = project.root / ".dvc/cache/runs"
    assert {
        path.relative_to(runs).as_posix(): path.read_bytes() for path in runs.rglob("*") if path.is_file()
    } == expected
    assert len(expected) == 5, "not those that persist or depend on nothing"


def test_a_key_is_known_before_the_outputs_are(project: Any) -> None:
    for item in stages(project).values():
        early = entry(project, item, outs=False)
        early["outs"] = [{"path": out.path} for out in sorted(item.outs, key=lambda out: out.path)]
        assert runcache.key(early) == runcache.key(entry(project, item))


def test_listings_are_byte_for_byte_dvcs(project: Any) -> None:
    listing = directories.hash_directory(project.root / "out").listing
    stored = project.root / ".dvc/cache/files/md5" / listing.name[:2] / listing.name[2:]
    assert stored.read_bytes() == listing.to_bytes()
    assert directories.parse(stored.read_bytes()) == listing


def test_gitignore_lines(project: Any) -> None:
    found = stages(project)
    lock = lockfile.parse(project.read("dvc.lock"), "dvc.lock")
    outs = [
        (out.root, (project.root / out.root).is_dir()) for name in lock.stages for out in found[name].outs if out.cache
    ]
    changed = gitignore.update(outs, project.before.get)
    there = {path.relative_to(project.root).as_posix() for path in project.root.rglob(".gitignore")} - {
        ".dvc/.gitignore"
    }
    assert {path: project.read(path) for path in there} == {**project.before, **changed}


def test_dvc_takes_over_results_that_we_stored(project_copy: Any) -> None:
    cache = project_copy.root / ".dvc/cache"
    shutil.rmtree(cache)
    objects, runs = DirectoryObjects(cache), DirectoryRunCache(cache)
    for item in stages(project_copy).values():
        whole = entry(project_copy, item)
        for out in item.outs:
            store_output(project_copy.root / out.root, objects)
        if runcache.eligible(item, entry(project_copy, item, outs=False)):
            runs.save(runcache.key(whole), runcache.value(whole), whole)
            assert runs.load(runcache.key(whole)) == whole
    shutil.rmtree(project_copy.root / "out")
    for path in ("dvc.lock", "lines.txt", "score.json"):
        (project_copy.root / path).unlink()
    said = project_copy.dvc("repro", "prepare", "score", "lines")
    assert said.count("is cached - skipping run") == 3
    assert "Running stage" not in said


@pytest.mark.parametrize("change", [{"train": {"lr": 1}}, {}])
def test_an_entry_with_other_parameters_has_another_key(project: Any, change: dict[str, Any]) -> None:
    whole = entry(project, stages(project)["prepare"])
    other = whole | {"params": {"params.yaml": change}}
    assert runcache.key(other) != runcache.key(whole)
